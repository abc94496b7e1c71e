"""Find the files of a tar by their position, without unpacking any.

The headers of an ordinary uncompressed tar are read here, because `tarfile` takes four times as
long for a set of many small images. Compressed archives, and those with links or rare members, are
left to `tarfile`.

Source: POSIX.1-2017 pax, sections "ustar Interchange Format" and "pax Header Block"; GNU tar's
long names ("L").
"""

import os
import posixpath
import tarfile
import zlib
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["DAMAGED", "Member", "scan_tar"]

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it
    LZMAError = EOFError  # type: ignore[misc,assignment]

DAMAGED = (EOFError, zlib.error, LZMAError)
"""Errors that decompressors raise on damaged bytes."""
_BLOCK = 512
_LONG_NAME_LIMIT = 2**20


class _UnusualTar(Exception):  # noqa: N818 - a state, not a fault
    """The archive is compressed, or uses a feature that is left to `tarfile`."""


class Member(NamedTuple):
    """A file or folder of a tar."""

    name: str
    is_folder: bool
    offset: int
    """Position of the file's content in the unpacked tar, bytes."""
    size: int


def scan_tar(path: Path, *, compressed: bool = False) -> list[Member]:
    """List the files and folders of a tar in order; a link to a file in it counts as that file.

    Links that lead elsewhere, devices and pipes are left out.

    Args:
        path: Path of the archive.
        compressed: Whether a compressed archive is accepted.

    Raises:
        OSError: The archive cannot be read, is cut short or damaged; the message says where.
    """
    try:
        try:
            with open(path, "rb") as stream:
                return _ordinary(stream)
        except _UnusualTar:
            return _unusual(path, "r:*" if compressed else "r:")
    except (tarfile.TarError, ValueError, *DAMAGED) as error:
        reason = str(error) if compressed else f"it is compressed or no plain tar ({error})"
        raise OSError(reason) from error


def _ordinary(stream: IO[bytes]) -> list[Member]:
    end = os.fstat(stream.fileno()).st_size
    members = []
    extended: dict[str, str] = {}
    offset = 0
    while header := os.pread(stream.fileno(), _BLOCK, offset):
        if header[0] == 0 and not header.strip(b"\0"):
            break
        kind, size = header[156:157], _check(header, offset)
        start = offset + _BLOCK
        if kind in (b"L", b"x"):
            if size > _LONG_NAME_LIMIT:
                raise _UnusualTar
            content = os.pread(stream.fileno(), size, start)
            extended |= {"path": _text(content)} if kind == b"L" else _pax_records(content)
        elif kind == b"g":  # of all files, never their names or sizes
            pass
        elif kind in (b"0", b"\0", b"5"):
            size = int(extended.get("size", size))
            name = extended.get("path") or _name(header)
            is_folder = kind == b"5" or name.endswith("/")
            if kind == b"5":
                size = 0
            elif not is_folder and start + size > end:
                raise OSError(f"it ends within {name}, {start + size - end} bytes too early")
            members.append(Member(name.rstrip("/"), is_folder, start, 0 if is_folder else size))
            extended = {}
        else:
            raise _UnusualTar
        offset = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    return members


def _check(header: bytes, offset: int) -> int:
    """The size that a header states, if the header is whole and its checksum right."""
    if len(header) < _BLOCK:
        raise OSError(f"it ends within the header at byte {offset}")
    try:
        # The checksum counts its own field as eight spaces.
        counted = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        right, size = counted == _number(header[148:156]), _number(header[124:136])
    except ValueError:
        right, size = False, 0
    if not right:
        if offset == 0:
            raise _UnusualTar
        raise OSError(f"the header at byte {offset} is damaged")
    return size


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base 256, for files of 8 GiB and more
        return int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    # Only POSIX's own form has a second half of the name there.
    if header[345] and header[257:263] == b"ustar\0":
        return f"{_text(header[345:500])}/{name}"
    return name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pax_records(content: bytes) -> dict[str, str]:
    """Path and size in an extended header, which replace those of the header after it."""
    found = {}
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(content):
            raise _UnusualTar
        record, content = content[len(length) + 1 : int(length) - 1], content[int(length) :]
        key, _, value = record.partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise _UnusualTar
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
    return found


def _unusual(path: Path, mode: str) -> list[Member]:
    members = []
    files: dict[str, Member] = {}
    targets: dict[str, str] = {}
    with tarfile.open(path, mode, encoding="utf-8") as archive:  # type: ignore[call-overload]
        for info in archive:
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
        if archive.fileobj.read(_BLOCK).strip(b"\0"):
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
