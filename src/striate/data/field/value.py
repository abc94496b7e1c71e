"""One or several numbers for each image."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.field.field import Column, Field, raw_value
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source


class Value(Field):
    """Numbers; values are (T,) float64, NaN where a number is missing.

    Args:
        names: Names of the T numbers, which are columns of the list that holds them.
    """

    kind = "value"
    batch_dtype = np.float32

    @classmethod
    def of(cls, source: "Source", name: str) -> "Value":
        return cls((name,))

    def read(self, item: "Item") -> np.ndarray:
        numbers = []
        for name in self.names:
            text = raw_value(item, name)
            try:
                numbers.append(float(text))
            except ValueError as error:
                raise DataError(f"{item.name}: {name} is {text!r}, not a number.") from error
        return np.array(numbers)

    def encode(self, column: Column) -> list[Any]:
        # JSON has no NaN.
        return [[None if math.isnan(v) else v for v in row] for row in np.asarray(column).tolist()]

    def decode(self, values: list[Any]) -> Column:
        return np.array(values, dtype=np.float64).reshape(len(values), len(self.names))

    def summary(self, column: Column) -> str:
        table = np.asarray(column)
        spans = [
            f"{name} {np.nanmin(numbers):g} to {np.nanmax(numbers):g}"
            for name, numbers in zip(self.names, table.T, strict=True)
        ]
        return ", ".join(spans)
