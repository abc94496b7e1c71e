"""The contract of a field: one thing that an item holds beside its image."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Union

import numpy as np
import torch
from torch import Tensor

from striate.data.stratify import Membership
from striate.errors import DataError
from striate.typed_json import encode

if TYPE_CHECKING:
    from striate.data.decode import ImageSpec
    from striate.data.source import Item, Source
    from striate.data.warp import Warp

Column = Union[np.ndarray, "list[np.ndarray]"]
"""The values of a field for all items of a split: (N, ...), or a list where lengths differ."""

PADDING = -1
"""Fills up values of different lengths in a batch; no class and no character has this number."""


class Finding(NamedTuple):
    """Something that an inspection says of a field."""

    what: str
    """Its name, in a word or two."""
    amount: str
    """How many or how much."""
    text: str = ""
    """Further words: names, shares, what to type."""


class Loaded(NamedTuple):
    """The values of a field for some items."""

    column: Column
    lines: list[str]
    """Each value as text, for the digest that names the contents of a set."""
    notes: tuple[str, ...] = ()
    """What a person should know of them, in sentences."""


class Field(ABC):
    """One thing that an item holds: how it is read, kept, batched and moved with the image."""

    kind: ClassVar[str]
    """Name of this kind of field, as tasks ask for it."""
    batch_dtype: ClassVar[Any] = None
    """Type of the numbers of a batch; None: the type of the values."""
    in_file: ClassVar[bool] = False
    """Whether the values are arrays of one shape and size, which the cache keeps in a file of their
    own instead of JSON values."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    @classmethod
    @abstractmethod
    def of(cls, source: "Source", name: str) -> "Field":
        """The field as a source offers it.

        Args:
            source: Data whose items hold it.
            name: Name of the field, and of the column of a list that holds it.

        Raises:
            DataError: the source does not hold it.
        """

    @classmethod
    def inspect(cls, source: "Source", items: Sequence["Item"]) -> list[Finding]:
        """Findings about the values of items for a person; most kinds have none.

        Args:
            source: Data that may or may not hold such values.
            items: Its items that may be looked at.
        """
        return []

    @abstractmethod
    def read(self, item: "Item") -> np.ndarray:
        """The value of one item.

        Raises:
            DataError: the item has none, or one that cannot be read.
        """

    def load(
        self, source: "Source", items: Sequence["Item"], spec: "ImageSpec", path: Path
    ) -> Loaded:
        """The values of items; most are read from the items alone.

        Args:
            source: Source of the items, which reads their further files.
            items: Items in the order of the values.
            spec: Form that their images get, to which values of pixels are fitted.
            path: File that a field with `in_file` writes, and maps as its column.

        Raises:
            DataError: values that are missing or cannot be read.
        """
        values = [self.read(item) for item in items]
        column = self.column(values)
        return Loaded(column, [self.line(value) for value in column])

    def column(self, values: Sequence[np.ndarray]) -> Column:
        """The values of a split as they are kept: (N, ...) where all have one shape."""
        return np.stack(values) if len(values) else np.zeros((0,))

    def collate(self, values: Column) -> Tensor:
        """The values of one batch as a tensor (B, ...); ragged ones are padded with -1."""
        return torch.from_numpy(np.ascontiguousarray(values, dtype=self.batch_dtype))

    def warp(self, batch: Tensor, warp: "Warp") -> Tensor:
        """The values of a batch whose images were moved by a warp; most do not change."""
        return batch

    def strata(self, column: Column) -> tuple[Sequence[Membership], tuple[str, ...]] | None:
        """The groups of similar items that a split spreads evenly: the index of each item's
        group, or of all groups that it belongs to, and the names of the groups, each of which
        must have items to train on; no names: groups that may be absent from a split; None: the
        field takes no part in splits."""
        return None

    def counts(self, column: Column) -> tuple[int, ...] | None:
        """The number of targets of each class (K,): items, or pixels; None: there are no
        classes."""
        return None

    def line(self, value: np.ndarray | np.generic) -> str:
        """The value as text, for the digest that names the contents of a set."""
        return json.dumps(np.asarray(value).tolist())

    def encode(self, column: Column) -> list[Any]:
        """The column as JSON values, as the cache keeps them."""
        return [np.asarray(value).tolist() for value in column]

    def decode(self, values: list[Any]) -> Column:
        """The column back from its JSON values."""
        return self.column([np.asarray(value) for value in values])

    @abstractmethod
    def summary(self, column: Column) -> str:
        """The column in a few words: "10 classes, the smallest 23"."""

    def to_json(self) -> dict[str, Any]:
        """The field itself as JSON values: its kind and the arguments of its constructor."""
        return {"kind": self.kind, **encode(vars(self))}


def take(column: Column, index: np.ndarray) -> Column:
    """Some values of a column, by their indices, in that order."""
    return column[index] if isinstance(column, np.ndarray) else [column[i] for i in index]


def padded(values: Column, empty: np.ndarray) -> Tensor:
    """Values (L, ...) of different lengths L as one tensor (B, longest, ...), padded with -1.

    Args:
        values: Values of a batch.
        empty: Value of length 0.
    """
    longest = max((len(value) for value in values), default=0)
    batch = np.full((len(values), longest, *empty.shape[1:]), PADDING, dtype=empty.dtype)
    for row, value in zip(batch, values, strict=True):
        row[: len(value)] = value
    return torch.from_numpy(batch)


def raw_value(item: "Item", name: str) -> str:
    """The text that a list gives an item in one column.

    Raises:
        DataError: the list has no such column, or the cell is empty.
    """
    text = (item.columns or {}).get(name)
    if text is None or not str(text).strip():
        raise DataError(
            f"{item.name} has no {name!r}. Give a list (CSV or JSON) with a column of this name."
        )
    return str(text)
