"""A .zip or .tar file of images, read in place.

Members are read by their position and never written anywhere, so that no name in the archive
can reach outside it. What a member or the whole archive unpacks to is limited, because a few
kilobytes can be made to unpack to terabytes.
"""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from striate.data.layout import Entry, read_layout
from striate.data.source import FILE_LIMIT, Content, Item, Listing, Source, refuse_large
from striate.data.spelling import shown, text_name
from striate.data.tarscan import Links, UnusualTar, scan_tar
from striate.data.written import outside_runs
from striate.errors import DataError

__all__ = ["ARCHIVES", "ArchiveSource"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# A real set of compressed images hardly shrinks; a thousandfold is what bombs are made of, and
# bitmaps of one colour. Small archives are let through whatever their ratio.
_RATIO_LIMIT = 200
_SMALL = 2**30
try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it
    LZMAError = EOFError  # type: ignore[misc,assignment]

_DAMAGED = (EOFError, zlib.error, LZMAError)
"""What unpackers say of damaged bytes."""
_NOWHERE = frozenset(("", "."))


class ArchiveSource(Source):
    """Class folders inside a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file."""

    def __init__(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        self.path = Path(path)
        self.title = title or shown(_stem(self.path.name))
        self.origin = str(self.path)
        self._zipped = self.path.name.lower().endswith(".zip")
        self._plain_tar = self.path.name.lower().endswith(".tar")
        self.random_access = self._zipped or self._plain_tar
        self._local = threading.local()

    def fingerprint(self) -> str:
        """A digest of the archive's path, size and time of change."""
        status = self.path.stat()
        text = f"{self.path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _list(self) -> Listing:
        files: list[Entry] = []
        folders: list[tuple[str, ...]] = []
        total = 0
        try:
            limit = max(_SMALL, _RATIO_LIMIT * self.path.stat().st_size)
            for name, is_folder, size, key in self._zip() if self._zipped else self._tar():
                parts = tuple(part for part in text_name(name).split("/") if part not in _NOWHERE)
                if not parts:
                    continue
                if is_folder:
                    folders.append(parts)
                    continue
                files.append(Entry(parts, key))
                total += size
                if total > limit:
                    self._refuse_bomb()
        except (tarfile.TarError, zipfile.BadZipFile, *_DAMAGED, OSError) as error:
            raise DataError(
                f"The archive {self.path} cannot be read: {error}. Copy or download it again."
            ) from error
        belongs = outside_runs((entry.parts for entry in files), folders)
        return read_layout(
            self.title,
            [entry for entry in files if belongs(entry.parts)],
            filter(belongs, folders),
        )

    def _refuse_bomb(self) -> NoReturn:
        raise DataError(
            f"The archive {self.path} unpacks to more than {_RATIO_LIMIT} times its size: it "
            "looks like a decompression bomb and is refused. Unpack it yourself if you trust "
            "it, and name the folder."
        )

    def _zip(self) -> Iterator[tuple[str, bool, int, object]]:
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                # Old Windows tools write backslashes.
                name = member.filename.replace("\\", "/")
                yield name, member.is_dir(), member.file_size, member

    def _tar(self) -> Iterator[tuple[str, bool, int, object]]:
        try:
            # All of them first, so that an unusual one late in the archive leaves nothing twice.
            members = list(scan_tar(self.path))
        except UnusualTar:
            yield from self._unusual_tar()
            return
        for member in members:
            yield member.name, member.is_folder, member.size, (member.offset, member.size)

    def _unusual_tar(self) -> Iterator[tuple[str, bool, int, object]]:
        with tarfile.open(self.path, "r:*") as archive:
            links = Links()
            for member in archive:
                if member.isfile():
                    links.file(member.name, member.offset_data, member.size)
                    key = (member.offset_data, member.size)
                    yield member.name, False, member.size, key
                elif member.isdir():
                    yield member.name, True, 0, None
                elif member.issym() or member.islnk():
                    links.link(member.name, member.linkname, symbolic=member.issym())
                # Keeps the list of members, which tarfile builds for itself, from growing.
                archive.members = []  # type: ignore[attr-defined]
        for found in links.members():
            yield found.name, False, found.size, (found.offset, found.size)

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The member's bytes, or the first `limit` of them."""
        if self._zipped:
            return self._read_zip(item, limit)
        offset, size = item.key
        refuse_large(size)
        count = size if limit is None else min(size, limit)
        if self._plain_tar:
            with open(self.path, "rb") as stream:
                return _read_at(stream, offset, count)
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
            for item in items:
                offset, size = item.key
                try:
                    refuse_large(size)
                    yield (
                        item,
                        _read_at(stream, offset, size if limit is None else min(size, limit)),
                    )
                except (OSError, *_DAMAGED) as error:
                    yield item, error if isinstance(error, OSError) else OSError(str(error))

    def _read_zip(self, item: Item, limit: int | None) -> bytes:
        member: zipfile.ZipInfo = item.key
        refuse_large(member.file_size)
        # A ZipFile has one position; each thread opens its own.
        archive = getattr(self._local, "archive", None)
        if archive is None:
            archive = self._local.archive = zipfile.ZipFile(self.path)
        try:
            with archive.open(member) as stream:
                content: bytes = stream.read(FILE_LIMIT if limit is None else limit)
                return content
        except (
            zipfile.BadZipFile,
            *_DAMAGED,
            RuntimeError,
            NotImplementedError,
        ) as error:
            # RuntimeError: encrypted; NotImplementedError: a rare compression.
            raise OSError(str(error)) from error


def _open_tar(path: Path) -> io.BufferedIOBase:
    """The tar's own bytes, unpacked on the way where it is compressed."""
    import bz2
    import gzip

    with open(path, "rb") as stream:
        magic = stream.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
    if magic.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if magic.startswith(b"\xfd7zXZ"):
        import lzma

        return lzma.open(path, "rb")
    return open(path, "rb")


def _read_at(stream: io.BufferedIOBase, offset: int, count: int) -> bytes:
    stream.seek(offset)
    content = stream.read(count)
    if len(content) < count:
        raise OSError("the archive ends before this file does")
    return content


def _stem(name: str) -> str:
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
