"""A fitted classical predictor, which predicts as trained networks do."""

from dataclasses import dataclass

import numpy as np

from striate.classical.predictor import Predictor
from striate.data import ImageSet
from striate.data.streamed import Pixels
from striate.evaluation.metric import Columns


@dataclass(frozen=True)
class ClassicalModel:
    """A predictor with the arrays that its fit left."""

    predictor: Predictor
    arrays: dict[str, np.ndarray]

    def infer(self, images: Pixels) -> dict[str, np.ndarray]:
        """Probabilities (N, K) of images (N, H, W, C), before calibration."""
        pixels = np.asarray(images[:])
        return {"probabilities": self.predictor.probabilities(pixels, self.arrays)}

    def rows(self, split: ImageSet) -> Columns:
        """The rows of a split, before calibration."""
        return Columns({**self.infer(split.images), "labels": split.labels.copy()})
