"""Any number of boxes for each image, each of one class."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from striate.data.field.field import PADDING, Column, Field, padded, raw_value
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source
    from striate.data.warp import Warp


class Boxes(Field):
    """Boxes with their classes; values are (M, 5) float32: x0, y0, x1, y1 in pixels, class index.

    The corner of the image is (0, 0). A batch is (B, most, 5), padded with rows of -1.

    Args:
        names: Names of the K classes.
    """

    kind = "boxes"

    @classmethod
    def of(cls, source: "Source", name: str) -> "Boxes":
        return cls(source.class_names)

    def read(self, item: "Item") -> np.ndarray:
        text = raw_value(item, self.kind)
        try:
            boxes = np.array(json.loads(text), dtype=np.float32).reshape(-1, 5)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{item.name}: boxes are a JSON list of [x0, y0, x1, y1, class]; "
                f"{text[:80]!r} came."
            ) from error
        return boxes

    def column(self, values: Sequence[np.ndarray]) -> Column:
        return [np.asarray(value, dtype=np.float32).reshape(-1, 5) for value in values]

    def collate(self, values: Column) -> Tensor:
        return padded(values, np.zeros((0, 5), np.float32))

    def warp(self, batch: Tensor, warp: "Warp") -> Tensor:
        """The boxes around the moved corners, cut at the border; those outside become padding."""
        x0, y0, x1, y1, classes = batch.unbind(-1)
        corners = torch.stack([x0, y0, x1, y0, x0, y1, x1, y1], dim=-1)
        B, M = classes.shape
        moved = warp.points(corners.view(B, 4 * M, 2)).view(B, M, 4, 2)
        height, width = warp.shown
        limit = torch.tensor([width, height], dtype=batch.dtype, device=batch.device)
        low = moved.amin(dim=2).clamp_min(0).minimum(limit)
        high = moved.amax(dim=2).clamp_min(0).minimum(limit)
        boxes = torch.cat([low, high, classes.unsqueeze(-1)], dim=-1)
        kept = (classes != PADDING) & (high > low).all(dim=-1)
        return torch.where(kept.unsqueeze(-1), boxes, float(PADDING))

    def summary(self, column: Column) -> str:
        counts = [len(value) for value in column]
        return f"{sum(counts):,} boxes of {len(self.names)} classes, at most {max(counts)} an image"
