"""A fixed number of points in each image."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from striate.data.field.field import Column, Field, raw_value
from striate.errors import DataError
from striate.reading import reported_as

if TYPE_CHECKING:
    from striate.data.source import Item, Source
    from striate.data.warp import Warp


class Points(Field):
    """Positions in an image; values are (M, 2) float32: x, y in pixels, NaN where one is missing.

    Args:
        names: Names of the M points.
    """

    kind = "points"
    batch_dtype = np.float32

    @classmethod
    def of(cls, source: "Source", name: str) -> "Points":
        text = raw_value(source.items[0], name)
        with reported_as(DataError, f"{source.items[0].name}: {text[:80]!r} is no JSON list"):
            first = json.loads(text)
        if not isinstance(first, list):
            raise DataError(f"{source.items[0].name}: points are a JSON list; {text[:80]!r} came.")
        return cls(tuple(f"point {i}" for i in range(len(first))))

    def read(self, item: "Item") -> np.ndarray:
        text = raw_value(item, self.kind)
        try:
            return np.array(json.loads(text), dtype=np.float32).reshape(len(self.names), 2)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{item.name}: points are a JSON list of {len(self.names)} pairs [x, y]; "
                f"{text[:80]!r} came."
            ) from error

    def warp(self, batch: Tensor, warp: "Warp") -> Tensor:
        return warp.points(batch)

    def encode(self, column: Column) -> list[Any]:
        # JSON has no NaN.
        return [
            [None if np.isnan(point).any() else point.tolist() for point in value]
            for value in column
        ]

    def decode(self, values: list[Any]) -> Column:
        missing = [np.nan, np.nan]
        rows = [[missing if point is None else point for point in value] for value in values]
        return np.array(rows, dtype=np.float32).reshape(len(values), len(self.names), 2)

    def summary(self, column: Column) -> str:
        return f"{len(self.names)} points an image"
