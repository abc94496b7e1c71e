"""A .zip or .tar file of images, read without unpacking it.

Members are read by their position and never written anywhere, so that no name in the archive
can reach outside it. What a member or the whole archive unpacks to is limited, because a few
kilobytes can be made to unpack to terabytes.
"""

import io
import os
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from striate.data.hidden import hidden_notes, without_hidden
from striate.data.layout import Entry, name_parts
from striate.data.masked_layout import read_tree
from striate.data.name_pattern import read_names
from striate.data.source import (
    FILE_LIMIT,
    Content,
    Item,
    Listing,
    Source,
    file_identity,
    refuse_large,
)
from striate.data.spelling import shown, text_name
from striate.data.tarscan import Member, scan_tar
from striate.data.written import outside_runs
from striate.errors import DataError
from striate.reading import as_unreadable, reported_as

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# A real set of compressed images hardly shrinks; a thousandfold is what bombs are made of, and
# bitmaps of one colour. Small archives are let through whatever their ratio.
_RATIO_LIMIT = 200
_SMALL = 2**30


class ArchiveSource(Source):
    """Class folders inside a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file.

    Args:
        path: Path of the archive.
        title: Short name for people; None: that of the archive.
        pattern: Pattern of what the names of the files say, instead of class folders.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        title: str | None = None,
        pattern: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.pattern = pattern
        self.title = title or shown(_stem(self.path.name))
        self.origin = str(self.path)
        self._zipped = self.path.name.lower().endswith(".zip")
        self._plain_tar = self.path.name.lower().endswith(".tar")
        self.random_access = self._zipped or self._plain_tar
        self._local = threading.local()

    def fingerprint(self) -> str:
        """A digest of the archive's path and state, see `file_state`."""
        named = [self.pattern] if self.pattern else []
        return "\0".join([file_identity(self.path), *named])

    def _list(self) -> Listing:
        again = "Copy or download it again."
        with reported_as(DataError, f"The archive {self.path} cannot be read", again):
            members = self._zip() if self._zipped else self._tar()
        files: list[Entry] = []
        folders: list[tuple[str, ...]] = []
        for member, key in members:
            parts = name_parts(text_name(member.name))
            if parts and member.is_folder:
                folders.append(parts)
            elif parts:
                files.append(Entry(parts, key))
        files, folders, hidden = without_hidden(files, folders)
        files, folders = outside_runs(files, folders)
        if self.pattern is None:
            listing = read_tree(self.title, files, folders)
        else:
            listing = read_names(self.title, files, self.pattern)
        return listing._replace(notes=(*listing.notes, *hidden_notes(hidden)))

    def _zip(self) -> list[tuple[Member, zipfile.ZipInfo]]:
        with zipfile.ZipFile(self.path) as archive:
            infos = archive.infolist()
        files = [info for info in infos if info.filename and not info.is_dir()]
        if files and all(map(_is_encrypted, files)):
            raise DataError(
                f"The archive {self.path} is encrypted. Unpack it with its password, and name the "
                "folder."
            )
        self._refuse_bomb(sum(info.file_size for info in files))
        return [
            # Old Windows tools write backslashes.
            (Member(info.filename.replace("\\", "/"), info.is_dir(), 0, info.file_size), info)
            for info in infos
            if info.filename
        ]

    def _tar(self) -> list[tuple[Member, tuple[int, int]]]:
        members = scan_tar(self.path, compressed=True, check=self._refuse_bomb)
        return [(member, (member.offset, member.size)) for member in members]

    def _refuse_bomb(self, unpacked: int) -> None:
        """Refuse an archive that unpacks to so many bytes or more, if they are too many."""
        if unpacked > max(_SMALL, _RATIO_LIMIT * self.path.stat().st_size):
            raise DataError(
                f"The archive {self.path} unpacks to more than {_RATIO_LIMIT} times its size: it "
                "is probably a decompression bomb and is refused. Unpack it yourself if you trust "
                "it, and name the folder."
            )

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The member's bytes, or the first `limit` of them."""
        if self._zipped:
            return self._read_zip(item, limit)
        offset, size = item.key
        if self._plain_tar:
            with open(self.path, "rb") as stream:
                return read_at(stream, offset, size, limit)
        _, content = next(self._stream_packed([item], limit))
        if isinstance(content, bytes):
            return content
        raise OSError(str(content))

    def stream(
        self, items: Sequence[Item], limit: int | None = None
    ) -> Iterator[tuple[Item, Content]]:
        """The items in the archive's own order."""
        if self._zipped:
            yield from super().stream(sorted(items, key=lambda i: i.key.header_offset), limit)
        else:
            yield from self._stream_packed(sorted(items, key=lambda i: i.key[0]), limit)

    def _stream_packed(
        self, items: Sequence[Item], limit: int | None
    ) -> Iterator[tuple[Item, Content]]:
        with _open_tar(self.path) as stream:
            yield from read_members(
                stream, ((item, item.key[0], item.key[1]) for item in items), limit
            )

    def _read_zip(self, item: Item, limit: int | None) -> bytes:
        member: zipfile.ZipInfo = item.key
        refuse_large(member.file_size)
        if _is_encrypted(member):
            raise OSError("it is encrypted")
        # A ZipFile has one position; each thread opens its own.
        archive = getattr(self._local, "archive", None)
        if archive is None:
            archive = self._local.archive = zipfile.ZipFile(self.path)
        with as_unreadable(), archive.open(member) as stream:
            return stream.read(FILE_LIMIT if limit is None else limit)


def _is_encrypted(member: zipfile.ZipInfo) -> bool:
    return bool(member.flag_bits & 1)


def read_at(
    stream: io.BufferedIOBase | io.RawIOBase, offset: int, size: int, limit: int | None
) -> bytes:
    """Read a member of an archive by its position, or its first `limit` bytes.

    Raises:
        OSError: The archive ends before the member does, or the member is too large.
    """
    refuse_large(size)
    count = size if limit is None else min(size, limit)
    stream.seek(offset)
    content: bytes | None = stream.read(count)
    if content is None or len(content) < count:
        raise OSError("the archive ends before this file does")
    return content


def read_members(
    stream: io.BufferedIOBase, members: Iterable[tuple[Item, int, int]], limit: int | None
) -> Iterator[tuple[Item, Content]]:
    """The contents of items, each with its position and size in the unpacked archive."""
    for item, offset, size in members:
        content: Content
        try:
            with as_unreadable():
                content = read_at(stream, offset, size, limit)
        except OSError as error:
            content = error
        yield item, content


_DECOMPRESSORS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
"""Modules by the first bytes of the files that they decompress."""


def _open_tar(path: Path) -> io.BufferedIOBase:
    """Open a tar, unpacked on the way where it is compressed."""
    with open(path, "rb") as stream:
        start = stream.read(6)
    modules = (name for magic, name in _DECOMPRESSORS.items() if start.startswith(magic))
    # Imported here: a Python may be built without one of them.
    opened: io.BufferedIOBase = import_module(next(modules, "io")).open(path, "rb")
    return opened


def _stem(name: str) -> str:
    endings = [ending for ending in ARCHIVES if name.lower().endswith(ending)]
    return name.removesuffix(name[-max(map(len, endings)) :]) if endings else name
