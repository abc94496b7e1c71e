"""Sources of items, and the interface of each kind: folder, archive, list, named set."""

import codecs
import errno
import hashlib
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from striate.errors import DataError, MemoryLimitError
from striate.memory import reserve
from striate.reading import (
    read_bytes,
    reported_as,
    require_memory_for_values,
    require_regular,
)

# The largest single image file that a camera or a scanner makes stays below half a gigabyte.
FILE_LIMIT = 512 * 2**20
ITEM_BYTES = 500
"""Memory of an item of a listing, about."""

Split = Literal["train", "validation", "test"]
Content = bytes | np.ndarray | OSError
"""Encoded bytes, decoded pixels, or the reason why neither could be had."""
Progress = Callable[[str, int, int], None]
"""Receives what is done (a sentence), how much is done and of how much."""


class Item(NamedTuple):
    """One image of a source."""

    name: str
    """The name as a person knows it, with forward slashes."""
    label: int
    """Index of its class folder, or of the class that a list gives it."""
    split: Split | None
    """The split that the source itself names, if it names one."""
    key: Any = None
    """Key by which the source reads it."""
    group: str | None = None
    """Name of the patient, film or the like that it belongs to, if the source says so."""
    columns: Mapping[str, str] | None = None
    """Further columns of a list by name, from which the fields of a task are read."""
    files: Mapping[str, tuple["Item", ...]] | None = None
    """Further files by the name of the field that reads them, such as a mask beside its image;
    each stands as an item of its own, whose name and key are those of the file."""


class Listing(NamedTuple):
    """The content of a source before anything is decoded."""

    class_names: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    files: tuple[Item, ...] = ()
    """Files about the whole set, such as the names of the classes of its masks."""
    no_classes: str = ""
    """Reason why the items have no class each, and what to do; empty where nothing is to say."""


def read_file(path: str, limit: int | None = None) -> bytes:
    """The bytes of a file, or the first `limit` of them.

    Raises:
        OSError: it cannot be read, is no plain file (a pipe would never end) or is too large.
    """
    status = require_regular(path)
    refuse_large(status.st_size, f"Reading {path}")
    with open(path, "rb", buffering=0) as stream:
        return stream.read(status.st_size if limit is None else limit)


def file_state(path: str | Path, status: os.stat_result | None = None) -> str:
    """The state of a file, another one whenever its content may be another.

    Size and time of change do not tell files apart that an archive unpacked with one time, nor
    does a move change them. The file's number on the disk and the time at which that entry changed
    do; where the file system gives no number, the content counts.

    Args:
        path: Path of the file.
        status: What the system says of it, if that is known; None: it is asked for.
    """
    # While it lists a folder, Windows gives no number.
    if status is None or not status.st_ino:
        status = os.stat(path)
    if status.st_ino:
        return f"{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\0{status.st_ctime_ns}"
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_identity(path: Path) -> str:
    """A digest of a file's path and state."""
    text = f"{path.resolve()}\0{file_state(path)}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_text(path: Path) -> str:
    """The text of a list that a person wrote, in UTF-8 with or without a mark.

    Raises:
        DataError: it cannot be read, or is in another encoding.
    """
    with reported_as(DataError, f"{path} cannot be read"):
        content = read_bytes(path)
    # Valid UTF-8, yet no text: UTF-16 without a mark has a zero beside each letter.
    if b"\0" not in content:
        with suppress(UnicodeDecodeError):
            text = content.decode("utf-8-sig")
            require_memory_for_values(text, f"Reading {path}")
            return text
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    kind = "UTF-16" if marked or b"\0" in content else "in another encoding"
    raise DataError(
        f"{path} is {kind}, not UTF-8. Save it as UTF-8 (in a spreadsheet: the format "
        '"CSV UTF-8") and repeat.'
    )


def refuse_large(num_bytes: int, what: str = "Reading an image") -> None:
    """Raise OSError for a file that no picture needs, and wait for the memory of another."""
    if num_bytes > FILE_LIMIT:
        raise OSError(f"{num_bytes / 2**20:.0f} MiB, above the limit of {FILE_LIMIT // 2**20} MiB")
    try:
        reserve(num_bytes, what, more=True)
    except MemoryLimitError as error:
        raise OSError(errno.ENOMEM, str(error)) from error


class Source(ABC):
    """A set of labelled images that has not been decoded yet.

    Listing is put off until it is needed, so that a set that lies decoded in the cache is
    recognised by its `fingerprint` alone.
    """

    title: str
    """Short name for people."""
    origin: str
    """Path, or name and address, that it came from."""
    licence: str | None = None
    """Terms, where the source states any."""
    random_access: bool = False
    """Whether `read` finds any item at once, on several threads, as streaming needs."""
    published: bool = False
    """Whether others measure on its very splits, so that they are left as they are."""
    limit: int | None = None
    """Largest number of images to take outside a declared test split; None: all."""
    remarks: tuple[str, ...] = ()
    """Notes for people that follow from how the source was named, not from what it holds."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest that changes when the source may have changed; see `file_state`."""

    @abstractmethod
    def _list(self) -> Listing:
        """Classes, items and notes; raises DataError when there is nothing to learn from."""

    @abstractmethod
    def read(self, item: Item, limit: int | None = None) -> bytes | np.ndarray:
        """One item: its encoded bytes (the first `limit` of them) or its pixels (H, W[, C]).

        Raises:
            OSError: it cannot be read.
        """

    def fetch(self, progress: Progress | None = None) -> None:  # noqa: B027 - most have nothing to do
        """Bring the data to this machine; nothing to do for those that are here."""

    def stream(
        self, items: Sequence[Item], limit: int | None = None
    ) -> Iterator[tuple[Item, Content]]:
        """The items with their contents, in the order that reads the medium fastest."""
        for item in items:
            try:
                yield item, self.read(item, limit)
            except OSError as error:
                yield item, error

    def where(self, items: Sequence[Item]) -> list[str]:
        """The positions of items for messages: their names, or lines of a list."""
        return [item.name for item in items]

    def read_files(
        self, items: Sequence[Item], field: str, limit: int | None = None
    ) -> Iterator[tuple[int, list[Content]]]:
        """The further files that a field reads: row of each item, and contents of its files.

        Args:
            items: Items with such files.
            field: Name of the field.
            limit: Bytes of each file to read at most.
        """
        files = [(item.files or {}).get(field, ()) for item in items]
        waiting: dict[int, dict[str, Content]] = defaultdict(dict)
        # The medium may have an order of its own: a file carries the row of its item.
        numbered = [file._replace(label=row) for row, own in enumerate(files) for file in own]
        for file, content in self.stream(numbered, limit):
            row = file.label
            waiting[row][file.name] = content
            if len(waiting[row]) == len(files[row]):
                contents = waiting.pop(row)
                yield row, [contents[one.name] for one in files[row]]

    @cached_property
    def _listing(self) -> Listing:
        from striate.data.limit import limited  # here: it reads what fields say of labels

        return self._list() if self.limit is None else limited(self._list(), self.limit)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their labels."""
        return self._listing.class_names

    @property
    def no_classes(self) -> str:
        """The reason why the items have no class each, and what to do."""
        return self._listing.no_classes or (
            f"{self.title} names no classes: the list needs a column 'label'."
        )

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, ordered by name."""
        return self._listing.items

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for people on how the source was understood, in sentences."""
        return self._listing.notes

    @property
    def files(self) -> tuple[Item, ...]:
        """Files about the whole set, each as an item that `read` finds."""
        return self._listing.files

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin!r})"
