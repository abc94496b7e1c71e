"""A predictor without a network: features, a classifier, and the arrays that fitting leaves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from striate.classical.classifier import Classifier, Rows
from striate.classical.feature import Arrays, Feature, described

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Learned:
    """The result of fitting: arrays to keep, and the choices on the validation split."""

    arrays: dict[str, np.ndarray]
    chosen: tuple[str, ...]
    """The features and the hyper-parameter, in words."""


@dataclass(frozen=True)
class Predictor:
    """Features and a classifier; it keeps no state, its arrays lie with the run."""

    feature: Feature
    classifier: Classifier
    side: int
    """Largest shorter side of the images that it takes, pixels."""
    grey: bool
    """Whether it uses brightness only."""

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which images of a size are brought, pixels.

        Example:
            >>> from striate.classical import PREDICTORS
            >>> from striate.registry import Pick
            >>> PREDICTORS.build(Pick("hog-svm")).input_size(256, 320)
            (128, 160)
        """
        scale = min(1.0, self.side / min(height, width))
        return round(height * scale), round(width * scale)

    def chooses(self, size: tuple[int, int]) -> bool:
        """Whether it has hyper-parameters that other images than the training images choose.

        Args:
            size: Height and width of the images.
        """
        return len(self.feature.variants(size)) > 1 or len(self.classifier.values) > 1

    def fit(
        self,
        train: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray],
        num_classes: int,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Learned:
        """Fit each variant on the training images, and keep the best on the validation images.

        Args:
            train: Images (N, H, W, C) uint8 and labels (N,).
            validation: Images and labels of another split, which choose hyper-parameters only.
            num_classes: Number of classes K.
            seed: Random seed of vocabularies and of the order of descent.
            progress: Function of the stage, its number of finished parts and of all parts.
        """
        candidates: list[tuple[int, Learned]] = []
        images = train[0]
        variants = self.feature.variants((images.shape[1], images.shape[2]))
        for number, feature in enumerate(variants):
            if progress is not None:
                progress("fitting", number, len(variants))
            learned = feature.learn(images, seed)
            rows = [Rows(described(feature, x, learned), y) for x, y in (train, validation)]
            fitted = self.classifier.fit(rows[0], rows[1], num_classes, seed)
            arrays = {f"feature.{name}": array for name, array in learned.items()}
            arrays |= {f"classifier.{name}": a for name, a in fitted.arrays.items()}
            arrays["variant"] = np.array(number)
            candidates.append((fitted.wrong, Learned(arrays, (str(feature), fitted.chosen))))
        if progress is not None:
            progress("fitting", len(variants), len(variants))
        return min(candidates, key=lambda candidate: candidate[0])[1]

    def features(self, images: np.ndarray, arrays: Arrays) -> np.ndarray:
        """(N, F) rows of images, as the classifier sees them."""
        variants = self.feature.variants((images.shape[1], images.shape[2]))
        return described(variants[int(arrays["variant"])], images, _under(arrays, "feature."))

    def probabilities(self, images: np.ndarray, arrays: Arrays) -> np.ndarray:
        """(N, K) float64 probabilities, before calibration.

        Args:
            images: Images (N, H, W, C) uint8 of the size at fitting.
            arrays: Arrays of `fit`.
        """
        rows = self.features(images, arrays)
        scores = self.classifier.scores(rows, _under(arrays, "classifier."))
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
        return probabilities

    def nearest(self, images: np.ndarray, arrays: Arrays, num: int) -> np.ndarray | None:
        """(N, num) indices of the nearest training images; None where it keeps none."""
        from striate.classical.classifier import Neighbours

        if not isinstance(self.classifier, Neighbours):
            return None
        rows, kept = self.features(images, arrays), _under(arrays, "classifier.")
        return self.classifier.nearest(rows, kept, min(num, len(kept["labels"])))


def _under(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
