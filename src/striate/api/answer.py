"""Predictions for single images, and the forms in which images may be given."""

from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import DataError

__all__ = ["Answer", "named_images"]


class Answer:
    """The prediction of a run for one image.

    Attributes:
        name: of the image, as it came.
        label: the most probable class; None when the image could not be read, or when the
            network is not sure enough of it.
        confidence: probability of the most probable class.
        abstained: whether the network is not sure enough for the error that was asked for.
        probabilities: class -> probability, the most probable first.
        problem: why the image could not be read; None when it could.
    """

    def __init__(
        self,
        name: str,
        probabilities: dict[str, float] | None,
        problem: str | None = None,
        *,
        threshold: float = 0.0,
    ) -> None:
        self.name = name
        self.probabilities = probabilities or {}
        likeliest = next(iter(self.probabilities), None)
        self.confidence = self.probabilities[likeliest] if likeliest is not None else None
        self.abstained = self.confidence is not None and self.confidence < threshold
        self.label = None if self.abstained else likeliest
        self.problem = problem

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        if self.problem is not None:
            return {"name": self.name, "problem": self.problem}
        return {
            "name": self.name,
            "label": self.label,
            "confidence": self.confidence,
            **({"abstained": True} if self.abstained else {}),
            "probabilities": self.probabilities,
        }

    def __repr__(self) -> str:
        if self.problem is not None:
            return f"Answer({self.name!r}, problem={self.problem!r})"
        said = "not sure" if self.abstained else repr(self.label)
        return f"Answer({self.name!r}, {said}, {self.confidence:.3f})"


def named_images(images: Any) -> list[tuple[str, Any]]:
    """(name, image) of everything that a person may hand over."""
    if isinstance(images, (str, Path)):
        path = Path(images)
        if not path.is_dir():
            return [(str(path), path)]
        found = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        if not found:
            raise DataError(f"{path} holds no files; give an image or a folder of images.")
        return [(str(p), p) for p in found]
    if isinstance(images, (list, tuple)):
        named = []
        for place, item in enumerate(images):
            for name, image in named_images(item):
                named.append((name if isinstance(item, (str, Path)) else f"image {place}", image))
        return named
    array = _as_array(images)
    if array is None:
        return [("image 0", images)]
    stacked = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4))
    rows = array if stacked else array[None]
    return [(f"image {i}", row) for i, row in enumerate(rows)]


def _as_array(images: Any) -> np.ndarray | None:
    """A NumPy array (…, H, W[, C]) of an array or a tensor; None for anything else."""
    if isinstance(images, np.ndarray):
        return images
    if not hasattr(images, "detach"):
        return None
    tensor = images.detach().cpu()
    if tensor.ndim >= 3 and tensor.shape[-3] in (1, 3, 4):
        tensor = tensor.movedim(-3, -1)
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    array: np.ndarray = tensor.numpy()
    return array
