"""A folder of images on the disk."""

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from striate.data.layout import Entry, read_layout, visible
from striate.data.source import Item, Listing, Source, read_file
from striate.data.spelling import enumerated, shown, text_name
from striate.data.written import outside_runs
from striate.errors import DataError

__all__ = ["FolderSource"]


class _Walk(NamedTuple):
    files: list[Entry]
    folders: list[tuple[str, ...]]
    notes: list[str]
    fingerprint: str


class FolderSource(Source):
    """Class folders, with or without train/, [validation/] and test/ above them.

    Links are followed, a link that leads back into its own folder is not. Runs that were written
    inside the folder are no part of it.
    """

    random_access = True

    def __init__(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        self.path = Path(path)
        self.title = title or shown(self.path.resolve().name)
        self.origin = str(self.path)

    @cached_property
    def _walk(self) -> _Walk:
        """One pass over the names; the same pass gives sizes and times."""
        files: list[Entry] = []
        folders: list[tuple[str, ...]] = []
        notes: list[str] = []
        unreadable: list[str] = []
        stats: list[str] = []
        for parts, entry in _scan(self.path, folders, notes, unreadable):
            files.append(Entry(parts, entry.path))
            try:
                status = entry.stat()
                stats.append(f"{'/'.join(parts)}\0{status.st_size}\0{status.st_mtime_ns}")
            except OSError:
                stats.append(f"{'/'.join(parts)}\0?")
        if unreadable:
            raise DataError(
                "These folders cannot be read: "
                + enumerated(unreadable, most=len(unreadable))
                + ". Give yourself the right to (chmod u+rx FOLDER), or move them away."
            )
        belongs = outside_runs((entry.parts for entry in files), folders)
        stats = [line for entry, line in zip(files, stats, strict=True) if belongs(entry.parts)]
        files = [entry for entry in files if belongs(entry.parts)]
        folders = [parts for parts in folders if belongs(parts)]
        text = "\n".join([str(self.path.resolve()), *sorted(stats), *map(str, sorted(folders))])
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return _Walk(files, folders, notes, digest)

    def fingerprint(self) -> str:
        """A digest of all names, sizes and times of change."""
        return self._walk.fingerprint

    def _list(self) -> Listing:
        listing = read_layout(self.title, self._walk.files, self._walk.folders)
        return listing._replace(notes=(*listing.notes, *self._walk.notes))

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The file's bytes, or the first `limit` of them."""
        return read_file(item.key, limit)


def _scan(
    root: Path, folders: list[tuple[str, ...]], notes: list[str], unreadable: list[str]
) -> Iterator[tuple[tuple[str, ...], "os.DirEntry[str]"]]:
    """All visible files below `root`, with their names split at the slashes."""
    pending: list[tuple[str, tuple[str, ...], frozenset[tuple[int, int]]]] = [
        (str(root), (), frozenset())
    ]
    while pending:
        path, parts, above = pending.pop()
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                notes.append(
                    f"The link {shown('/'.join(parts))} leads back to a folder around it; skipped."
                )
                continue
            if parts:
                folders.append(parts)
            with os.scandir(path) as entries:
                for entry in entries:
                    if not visible(entry.name):
                        continue
                    inner = (*parts, text_name(entry.name))
                    if _is_folder(entry):
                        pending.append((entry.path, inner, above | {identity}))
                    else:
                        yield inner, entry
        except PermissionError:
            unreadable.append(path)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it can be walked; a link to itself, or through a closed folder, is a broken file."""
    try:
        return entry.is_dir()
    except OSError:
        return False
