"""One class out of K for each image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.field.field import Column, Field
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source


class Category(Field):
    """One class out of K; values are class indices, int64.

    Args:
        names: Names of the K classes, in the order of their indices.
    """

    kind = "category"

    @classmethod
    def of(cls, source: "Source", name: str) -> "Category":
        if not source.class_names:
            raise DataError(source.no_classes)
        return cls(source.class_names)

    def read(self, item: "Item") -> np.ndarray:
        return np.array(item.label, dtype=np.int64)

    def column(self, values: Sequence[np.ndarray]) -> Column:
        return np.array(values, dtype=np.int64)

    def decode(self, values: list[Any]) -> Column:
        return np.array(values, dtype=np.int64)

    def strata(self, column: Column) -> tuple[Sequence[int], tuple[str, ...]]:
        labels: list[int] = np.asarray(column).tolist()
        return labels, self.names

    def line(self, value: np.ndarray | np.generic) -> str:
        return self.names[int(value)]

    def counts(self, column: Column) -> tuple[int, ...]:
        """The number of items of each class (K,)."""
        counts: list[int] = np.bincount(column, minlength=len(self.names)).tolist()
        return tuple(counts)

    def summary(self, column: Column) -> str:
        return f"{len(self.names)} classes, the smallest {min(self.counts(column)):,}"
