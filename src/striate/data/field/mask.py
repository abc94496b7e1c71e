"""One class out of K for each pixel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from striate.data.field.field import Column, Field, raw_value
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source
    from striate.data.warp import Warp


class Mask(Field):
    """A class for each pixel; values are (H, W) class ids, batches int64 (B, H, W).

    Args:
        names: Names of the K classes, in the order of their ids.
        void: Id of pixels that count for nothing; it also fills what a warp brings in from
            beyond the border.
    """

    kind = "mask"
    batch_dtype = np.int64

    def __init__(self, names: Sequence[str], void: int = 255) -> None:
        self.names, self.void = tuple(names), void

    @classmethod
    def of(cls, source: "Source", name: str) -> "Mask":
        raise DataError(
            f"{source.title} names no masks: a list or folder cannot hold them yet. Build the "
            "dataset in Python, with arrays (N, H, W) of class ids."
        )

    def read(self, item: "Item") -> np.ndarray:
        raise DataError(f"{raw_value(item, self.kind)}: masks are read from arrays only.")

    def warp(self, batch: Tensor, warp: "Warp") -> Tensor:
        return warp.mask(batch, self.void)

    def summary(self, column: Column) -> str:
        ids, counts = np.unique(np.asarray(column), return_counts=True)
        valid = ids != self.void
        share = counts[valid].min() / counts[valid].sum() if valid.any() else 0.0
        return f"{len(self.names)} classes, the smallest {share:.2%} of the pixels"
