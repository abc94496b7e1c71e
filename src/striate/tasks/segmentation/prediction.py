"""The mask that is predicted for one image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.data.spelling import shown
from striate.tasks.prediction import OWN_COLUMNS, Prediction, named_columns


class MaskPrediction(Prediction):
    """The prediction for one image: a class for each pixel.

    Args:
        name: Name of the image, as it came.
        mask: Class ids (H, W).
        class_names: Names of the K classes.
    """

    def __init__(self, name: str, mask: np.ndarray, class_names: Sequence[str]) -> None:
        counts = np.bincount(mask.ravel(), minlength=len(class_names)).tolist()
        self._areas: dict[str, int] = dict(zip(class_names, counts, strict=True))
        height, width = mask.shape
        super().__init__(name, {"height": height, "width": width, "areas": self._areas})
        self.mask = mask

    def cells(self) -> dict[str, Any]:
        size = {"height": self.values["height"], "width": self.values["width"]}
        columns = named_columns(self._areas, (*OWN_COLUMNS, *size), "area_")
        return size | {columns[name]: area for name, area in self._areas.items()}

    def text(self) -> str:
        ranked = sorted(self._areas.items(), key=lambda area: -area[1])
        shares = (f"{shown(name)} {area / self.mask.size:.1%}" for name, area in ranked if area)
        return "  ".join(shares)
