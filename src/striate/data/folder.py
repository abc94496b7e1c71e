"""A folder of images on the disk."""

import hashlib
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from striate.data.layout import Entry, visible
from striate.data.masked_layout import read_tree
from striate.data.name_pattern import read_names
from striate.data.source import Item, Listing, Source, read_file
from striate.data.spelling import enumerated, shown, text_name
from striate.data.written import outside_runs
from striate.errors import DataError


class _Tree(NamedTuple):
    """All visible files and folders, and what is wrong with some."""

    files: list[Entry]
    folders: list[tuple[str, ...]]
    stats: dict[str, str]
    """Name, size and time of change of each file, by its path."""
    notes: list[str]
    unreadable: list[str]


class FolderSource(Source):
    """Class folders, with or without train/, [validation/] and test/ above them.

    Links are followed, a link that leads back into its own folder is not. Runs that were written
    inside the folder are no part of it.

    Args:
        path: Path of the folder.
        title: Short name for people; None: that of the folder.
        pattern: Pattern of what the names of the files say, instead of class folders.
    """

    random_access = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        title: str | None = None,
        pattern: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.title = title or shown(self.path.resolve().name)
        self.origin = str(self.path)
        self.pattern = pattern

    @cached_property
    def _tree(self) -> _Tree:
        """One walk through the folder serves the fingerprint and the list of items."""
        tree = _walk(self.path)
        if tree.unreadable:
            raise DataError(
                "These folders cannot be read: "
                + enumerated(tree.unreadable, most=len(tree.unreadable))
                + ". Give yourself the right to (chmod u+rx FOLDER), or move them away."
            )
        files, folders = outside_runs(tree.files, tree.folders)
        return tree._replace(files=files, folders=folders)

    def fingerprint(self) -> str:
        """A digest of all names, sizes and times of change."""
        stats = sorted(self._tree.stats[entry.key] for entry in self._tree.files)
        lines = [str(self.path.resolve()), *stats, *map(str, sorted(self._tree.folders))]
        text = "\n".join([*lines, *([self.pattern] if self.pattern else [])])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _list(self) -> Listing:
        if self.pattern is None:
            listing = read_tree(self.title, self._tree.files, self._tree.folders)
        else:
            listing = read_names(self.title, self._tree.files, self.pattern)
        return listing._replace(notes=(*listing.notes, *self._tree.notes))

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The file's bytes, or the first `limit` of them."""
        return read_file(item.key, limit)


def _walk(root: Path) -> _Tree:
    tree = _Tree([], [], {}, [], [])
    pending: list[tuple[str, tuple[str, ...], frozenset[tuple[int, int]]]] = [
        (str(root), (), frozenset())
    ]
    while pending:
        path, parts, above = pending.pop()
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                tree.notes.append(
                    f"The link {shown('/'.join(parts))} leads back to a folder around it; skipped."
                )
                continue
            if parts:
                tree.folders.append(parts)
            with os.scandir(path) as entries:
                for entry in entries:
                    if not visible(entry.name):
                        continue
                    inner = (*parts, text_name(entry.name))
                    if _is_folder(entry):
                        pending.append((entry.path, inner, above | {identity}))
                    else:
                        tree.files.append(Entry(inner, entry.path))
                        tree.stats[entry.path] = f"{'/'.join(inner)}\0{_size_and_time(entry)}"
        except PermissionError:
            tree.unreadable.append(path)
    return tree


def _size_and_time(entry: "os.DirEntry[str]") -> str:
    with suppress(OSError):
        status = entry.stat()
        return f"{status.st_size}\0{status.st_mtime_ns}"
    return "?"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry can be walked; a link to itself or into a closed folder is a broken file."""
    with suppress(OSError):
        return entry.is_dir()
    return False
