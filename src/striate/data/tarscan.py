"""The positions of the files in an uncompressed tar: only its headers are read.

Source: POSIX.1-2017 pax, sections "ustar Interchange Format" and "pax Header Block"; GNU tar's
long names ("L", "K") and sizes in base 256.
"""

import os
import posixpath
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Links", "Member", "UnusualTar", "scan_tar"]

_BLOCK = 512
_FILES = frozenset(b"\x000" + b"7")  # "7" is a contiguous file, which nobody writes any more
_ADLER_PRIME = 65521
_LONG_NAME_LIMIT = 2**20


class UnusualTar(Exception):  # noqa: N818 - a state, not a fault
    """The archive is compressed or uses a feature that only `tarfile` reads."""


class Member(NamedTuple):
    """A file or folder of a tar."""

    name: str
    is_folder: bool
    offset: int
    """Of the file's content, bytes from the archive's start."""
    size: int


class Links:
    """Links inside a tar to files of it, whether these come before or after them."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        self._targets: dict[str, str] = {}

    def file(self, name: str, offset: int, size: int) -> None:
        """Take note of a file."""
        self._places[name] = offset, size

    def link(self, name: str, target: str, *, symbolic: bool) -> None:
        """Take note of a link: a symbolic one starts from its own folder."""
        start = posixpath.dirname(name) if symbolic else ""
        self._targets[name] = posixpath.normpath(posixpath.join(start, target))

    def members(self) -> Iterator[Member]:
        """The links that lead to files, as these."""
        if not self._targets:
            return
        places = {posixpath.normpath(name): place for name, place in self._places.items()}
        at = {posixpath.normpath(name): target for name, target in self._targets.items()}
        for name, target in self._targets.items():
            met: set[str] = set()
            while target not in places and target in at and target not in met:
                met.add(target)
                target = at[target]
            if target in places:
                yield Member(name, False, *places[target])


def scan_tar(path: Path) -> Iterator[Member]:
    """Files and folders of an uncompressed tar, in order; after them the links to files, as these.

    Raises:
        UnusualTar: leave it to `tarfile`.
        OSError: it cannot be read, or is cut short or damaged; the message says where.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        yield from _members(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _members(descriptor: int, end: int) -> Iterator[Member]:
    links = Links()
    long: dict[str, str] = {}
    offset = 0
    while header := _read(descriptor, offset, min(_BLOCK, end - offset)):
        if header[0] == 0 and not header.strip(b"\0"):
            break
        _check(header, offset)
        kind, size = header[156], _number(header[124:136], offset)
        start = offset + _BLOCK
        offset = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if kind in b"LKxgX":
            if size > _LONG_NAME_LIMIT:
                raise UnusualTar
            if kind != ord("g"):  # what is said of all files is never a name or a size
                long |= _noted(kind, _read(descriptor, start, size))
            continue
        if "size" in long:
            size = int(long["size"])
            offset = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        name = long.get("path") or _name(header)
        target = long.get("linkpath") or _text(header[157:257])
        long = {}
        if kind in _FILES and not name.endswith("/"):
            if start + size > end:
                raise OSError(f"it ends within {name}, {start + size - end} bytes too early")
            links.file(name, start, size)
            yield Member(name, False, start, size)
        elif kind == ord("5") or kind in _FILES:
            offset = offset if kind in _FILES else start
            yield Member(name.rstrip("/"), True, start, 0)
        elif kind in b"12":
            links.link(name, target, symbolic=kind == ord("2"))
            offset = start
        elif kind not in b"346":  # devices and pipes hold no picture
            raise UnusualTar
    yield from links.members()


def _read(descriptor: int, offset: int, count: int) -> bytes:
    return os.pread(descriptor, count, offset) if count > 0 else b""


def _check(header: bytes, offset: int) -> None:
    """The sum over the header, its own field counted as spaces, must be what that field says."""
    if len(header) < _BLOCK:
        raise OSError(f"it ends within the header at byte {offset}")
    stated = header[148:156]
    try:
        expected = int(stated.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        expected = -1
    # The lower half of Adler-32 is one more than the sum of the bytes, modulo a prime, in C.
    total = (zlib.adler32(header) & 0xFFFF) - 1 - sum(stated) + 8 * ord(" ")
    if (total - expected) % _ADLER_PRIME:
        if offset == 0:
            raise UnusualTar
        raise OSError(f"the header at byte {offset} is damaged")


def _number(field: bytes, offset: int) -> int:
    if field[0] & 0x80:  # base 256, for files of 8 GiB and more
        return int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
    try:
        return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        raise OSError(f"the header at byte {offset} is damaged") from None


def _name(header: bytes) -> str:
    name = _text(header[:100])
    # Only POSIX's own form has a second half of the name there.
    if header[345] and header[257:263] == b"ustar\0":
        return f"{_text(header[345:500])}/{name}"
    return name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _noted(kind: int, content: bytes) -> dict[str, str]:
    """The extended header before the real one: path, linkpath, size."""
    if kind in b"LK":
        return {"path" if kind == ord("L") else "linkpath": _text(content)}
    noted = {}
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(content):
            raise UnusualTar
        record, content = content[len(length) + 1 : int(length) - 1], content[int(length) :]
        key, _, value = record.partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise UnusualTar
        if key in (b"path", b"linkpath", b"size"):
            noted[key.decode()] = value.decode("utf-8", "surrogateescape")
    return noted
