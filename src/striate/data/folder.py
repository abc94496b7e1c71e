"""A folder of images on the disk."""

import hashlib
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from striate.data.hidden import hidden_notes, is_known, visible
from striate.data.layout import Entry
from striate.data.masked_layout import read_tree
from striate.data.name_pattern import read_names
from striate.data.source import Item, Listing, Source, file_state, read_file
from striate.data.spelling import enumerated, shown, text_name
from striate.data.written import outside_runs
from striate.errors import DataError


class FolderTree(NamedTuple):
    """All visible files and folders, and what is wrong with some."""

    files: list[Entry]
    folders: list[tuple[str, ...]]
    stats: dict[str, str]
    """Name and state of each file, by its path."""
    notes: list[str]
    unreadable: list[tuple[str, OSError]]
    """Paths of the folders that cannot be looked into, and why."""
    hidden: list[tuple[str, ...]]
    """Names of hidden files, and of folders of systems, split at the slashes."""


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
    def _tree(self) -> FolderTree:
        """One walk through the folder serves the fingerprint and the list of items."""
        tree = walk(self.path)
        if tree.unreadable:
            lines = [f"{path} ({error.strerror})" for path, error in tree.unreadable]
            raise DataError(
                f"These folders cannot be read: {enumerated(lines, most=len(lines))}. Give "
                "yourself the right to (chmod u+rx FOLDER), or move them away."
            )
        return tree

    def fingerprint(self) -> str:
        """A digest of the names and states of all files."""
        stats = sorted(self._tree.stats[entry.key] for entry in self._tree.files)
        lines = [str(self.path.resolve()), *stats, *map(str, sorted(self._tree.folders))]
        text = "\n".join([*lines, *([self.pattern] if self.pattern else [])])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _list(self) -> Listing:
        if self.pattern is None:
            listing = read_tree(self.title, self._tree.files, self._tree.folders)
        else:
            listing = read_names(self.title, self._tree.files, self.pattern)
        further = (*self._tree.notes, *hidden_notes(self._tree.hidden))
        return listing._replace(notes=(*listing.notes, *further))

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The file's bytes, or the first `limit` of them."""
        return read_file(item.key, limit)


def walk(root: Path) -> FolderTree:
    """All files and folders below a folder, without hidden ones and without runs.

    Links are followed, but not back into a folder around them.
    """
    tree = FolderTree([], [], {}, [], [], [])
    pending: list[tuple[str, tuple[str, ...], frozenset[tuple[int, int]]]] = [
        (str(root), (), frozenset())
    ]
    while pending:
        path, parts, above = pending.pop()
        hidden = not all(map(visible, parts))
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                tree.notes.append(
                    f"The link {shown('/'.join(parts))} leads back to a folder around it; skipped."
                )
                continue
            if parts and not hidden:
                tree.folders.append(parts)
            with os.scandir(path) as entries:
                for entry in entries:
                    inner = (*parts, text_name(entry.name))
                    seen = visible(entry.name)
                    if not seen and is_known(entry.name):
                        tree.hidden.append(inner)
                    elif _is_folder(entry):
                        pending.append((entry.path, inner, above | {identity}))
                    elif hidden or not seen:
                        tree.hidden.append(inner)
                    else:
                        tree.files.append(Entry(inner, entry.path))
                        tree.stats[entry.path] = f"{'/'.join(inner)}\0{_state(entry)}"
        except OSError as error:
            if not hidden:
                tree.unreadable.append((path, error))
    files, folders = outside_runs(tree.files, tree.folders)
    return tree._replace(files=files, folders=folders)


def _state(entry: "os.DirEntry[str]") -> str:
    with suppress(OSError):
        return file_state(entry.path, entry.stat())
    return "?"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry can be walked; a link to itself or into a closed folder is a broken file."""
    with suppress(OSError):
        return entry.is_dir()
    return False
