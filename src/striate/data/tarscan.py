"""Find the files of a tar by their position, without unpacking any.

The headers of an uncompressed tar of files and folders are read here, because `tarfile` takes three
times as long for a set of many small images. Compressed archives, and those with links or rare
members, are left to `tarfile`.

Source: POSIX.1-2017 pax, sections "ustar Interchange Format" and "pax Header Block"; GNU tar's long
names ("L").
"""

import io
import os
import posixpath
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from striate.data.source import ITEM_BYTES
from striate.memory import require_memory
from striate.reading import as_unreadable

_BLOCK = 512
_LONGEST_HEADER = 2**20
"""Bytes of an extended header, which `tarfile` reads as a whole; real ones hold a name."""
_AT_ONCE = 10_000
"""Members after which their memory is judged anew."""


class _UnusualTar(Exception):  # noqa: N818 - a state, not a fault
    """The archive is compressed, damaged in a header, or uses a feature left to `tarfile`."""


class Member(NamedTuple):
    """A file or folder of a tar."""

    name: str
    is_folder: bool
    offset: int
    """Position of the file's content in the unpacked tar, bytes."""
    size: int


def scan_tar(
    path: Path, *, compressed: bool = False, check: Callable[[int], None] = lambda size: None
) -> list[Member]:
    """List the files and folders of a tar in order; a link to a file in it counts as that file.

    Links that lead elsewhere, devices and pipes are left out.

    Args:
        path: Path of the archive.
        compressed: Whether a compressed archive is accepted.
        check: Called with the size of what was listed so far, bytes, before a compressed archive is
            unpacked that far; it may raise.

    Raises:
        OSError: The archive cannot be read, is cut short or damaged; the message says where.
        MemoryLimitError: It has more members than memory has room for.
    """
    with as_unreadable():
        try:
            with open(path, "rb") as stream:
                return _ordinary(stream)
        except _UnusualTar:
            pass
        try:
            return _unusual(path, "r:*" if compressed else "r:", check)
        except tarfile.TarError as error:
            reason = str(error) if compressed else f"it is compressed or no plain tar ({error})"
            reason = "it ends within a header" if "truncated header" in reason else reason
            raise OSError(reason) from error


def _ordinary(stream: IO[bytes]) -> list[Member]:
    end = os.fstat(stream.fileno()).st_size
    members = []
    extended: dict[str, str] = {}
    offset = 0
    while header := os.pread(stream.fileno(), _BLOCK, offset):
        if header[0] == 0 and not header.strip(b"\0"):
            break
        size = _check(header, offset)
        kind = header[156:157]
        start = offset + _BLOCK
        if kind in (b"g", b"x", b"L"):
            if extended or size > _LONGEST_HEADER or start + size > end:
                raise _UnusualTar
            extended = _extended(kind, os.pread(stream.fileno(), size, start))
            offset = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
            continue
        is_folder = kind == b"5"
        if kind not in (b"0", b"\0", b"5"):
            raise _UnusualTar
        size = 0 if is_folder else int(extended.get("size", size))
        name = extended.get("path") or _name(header)
        extended = {}
        _require_end(name, start + size, end)
        is_folder |= name.endswith("/")
        members.append(Member(name.rstrip("/"), is_folder, start, 0 if is_folder else size))
        _require_room(members)
        offset = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    return members


def _extended(kind: bytes, content: bytes) -> dict[str, str]:
    """The path and size that an extended header states of the member after it."""
    if kind == b"L":
        return {"path": content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")}
    stated = {}
    while content:
        length, _, _ = content.partition(b" ")
        # "LENGTH KEY=VALUE\n", in which LENGTH counts the whole record
        if not length.isdigit() or not len(length) + 2 < int(length) <= len(content):
            raise _UnusualTar
        record, content = content[len(length) + 1 : int(length)], content[int(length) :]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n" or key.startswith((b"GNU.sparse", b"hdrcharset")):
            raise _UnusualTar
        if key in (b"path", b"size"):
            stated[key.decode()] = value.decode("utf-8", "surrogateescape")
    if (stated and kind == b"g") or not stated.get("size", "0").isdecimal():
        raise _UnusualTar
    return stated


def _require_end(name: str, needed: int, end: int) -> None:
    if needed > end:
        raise OSError(f"it ends within {name}, {needed - end} bytes too early")


def _check(header: bytes, offset: int) -> int:
    """The size that a header states, if the header is whole and its checksum right."""
    if len(header) < _BLOCK:
        raise OSError(f"it ends within the header at byte {offset}")
    with suppress(ValueError):
        # The checksum counts its own field as eight spaces.
        counted = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if counted == _number(header[148:156]):
            return _number(header[124:136])
    if offset == 0:
        raise _UnusualTar
    raise OSError(f"the header at byte {offset} is damaged")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base 256, for files of 8 GiB and more
        return int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
    digits = field.split(b"\0", 1)[0].strip() or b"0"
    if not digits.isdigit():  # a sign, say: a negative size would lead backwards for ever
        raise ValueError(f"{digits!r} is no number")
    return int(digits, 8)


def _name(header: bytes) -> str:
    # Only POSIX's own form has a second half of the name there.
    posix = header[345] and header[257:263] == b"ustar\0"
    fields = [header[345:500], header[:100]] if posix else [header[:100]]
    return "/".join(field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for field in fields)


def _require_room(members: list[Member]) -> None:
    if len(members) % _AT_ONCE == 0:
        require_memory(ITEM_BYTES * len(members), f"Listing {len(members):,} files of an archive")


class _Header(tarfile.TarInfo):
    """A header that is refused where it would be read for ever or fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        plain = header.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
        if header.size < 0 or (not plain and header.size > _LONGEST_HEADER):
            raise tarfile.HeaderError(f"an extended header of {header.size:,} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.HeaderError("sparse files are not read")
        return header

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise tarfile.HeaderError("sparse files are not read")


def _unusual(path: Path, mode: str, check: Callable[[int], None]) -> list[Member]:
    members: list[Member] = []
    files: dict[str, Member] = {}
    targets: dict[str, str] = {}
    unpacked = 0
    with tarfile.open(  # type: ignore[call-overload]
        path, mode, encoding="utf-8", tarinfo=_Header
    ) as archive:
        plain = isinstance(archive.fileobj, io.BufferedReader)
        for info in archive:
            if info.size < 0:
                raise tarfile.HeaderError(f"{info.name} has {info.size} bytes")
            unpacked += info.size
            check(unpacked)
            _require_room(members)
            if plain and info.isreg():
                _require_end(info.name, info.offset_data + info.size, os.path.getsize(path))
            if info.isdir() or info.isreg():
                size = 0 if info.isdir() else info.size
                members.append(Member(info.name, info.isdir(), info.offset_data, size))
            if info.isreg():
                files[posixpath.normpath(info.name)] = members[-1]
            elif info.issym() or info.islnk():
                # A symbolic link starts from its own folder.
                start = posixpath.dirname(info.name) if info.issym() else ""
                targets[info.name] = posixpath.normpath(posixpath.join(start, info.linkname))
            archive.members = []  # else it keeps all of them
        # tarfile takes a damaged header for the end of the archive.
        archive.fileobj.seek(archive.offset)
        if (header := archive.fileobj.read(_BLOCK)).strip(b"\0"):
            _check(header, archive.offset)
            raise OSError(f"the header at byte {archive.offset} is damaged")
    links = {posixpath.normpath(name): target for name, target in targets.items()}
    for name, target in targets.items():
        visited: set[str] = set()
        while target not in files and target in links and target not in visited:
            visited.add(target)
            target = links[target]
        if target in files:
            members.append(files[target]._replace(name=name))
    return members
