"""Features of images for classifiers: rows of numbers, some with a learned vocabulary."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from striate.classical.hog import hog

Arrays = Mapping[str, np.ndarray]

_CHUNK = 64  # images at a time: the votes of gradients take 40 numbers a pixel


class Feature(ABC):
    """Images to rows; what it learned is arrays, kept by whoever fitted it."""

    def variants(self, size: tuple[int, int]) -> "Sequence[Feature]":
        """The features of this kind among which the validation split chooses.

        Args:
            size: Height and width of the images.
        """
        return (self,)

    def learn(self, images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """The arrays of the training images that `describe` needs; none by default."""
        return {}

    @abstractmethod
    def describe(self, images: np.ndarray, learned: Arrays) -> np.ndarray:
        """(N, F) float32 rows of (N, H, W, C) uint8 images."""


class RawPixels(Feature):
    """The pixels themselves, 0 to 255."""

    def describe(self, images: np.ndarray, learned: Arrays) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float32)

    def __str__(self) -> str:
        return "pixels"


class HoG(Feature):
    """Histograms of oriented gradients.

    Args:
        cell: Pixels a side; None: the validation split chooses.
    """

    def __init__(self, cell: int | None = None) -> None:
        self.cell = cell

    def variants(self, size: tuple[int, int]) -> Sequence[Feature]:
        if self.cell is not None:
            return (self,)
        # From 4×4 cells, a coarse view, to 16×16, beyond which cells hold noise.
        fitting = [HoG(cell) for cell in (4, 8, 16) if 4 <= min(size) // cell <= 16]
        return fitting or [HoG(max(1, min(size) // 4 if min(size) < 16 else min(size) // 16))]

    def describe(self, images: np.ndarray, learned: Arrays) -> np.ndarray:
        return hog(images, self.cell or 8)

    def __str__(self) -> str:
        return f"cells of {self.cell} pixels"


def described(feature: Feature, images: np.ndarray, learned: Arrays) -> np.ndarray:
    """(N, F) rows of many images, made piece by piece."""
    starts = range(0, len(images), _CHUNK)
    pieces = [feature.describe(np.asarray(images[i : i + _CHUNK]), learned) for i in starts]
    return np.concatenate(pieces)
