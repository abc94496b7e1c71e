"""Features as scikit-learn transformers: images to rows for any of its classifiers."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from striate import classical
from striate.classical.feature import Feature, described
from striate.estimators.reading import ImageInput, as_value_errors, seed_of


class _ImageFeature(ImageInput, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Images to (N, F) float32 rows."""

    random_state: Any = 0
    _least_features = 2  # one number has no edges
    _made: ClassVar[type[Feature]]
    """Class of the feature, which takes the parameters that are not `ImageInput`'s."""

    @property
    def _least_side(self) -> int:
        """Pixels that an image needs along each side: two cells, or a patch of four bins."""
        return max(2 * getattr(self, "cell", 0), 4 * getattr(self, "bin_size", 0))

    def _feature(self) -> Feature:
        """The feature of the parameters."""
        shared = ("image_shape", "random_state")
        own = {key: value for key, value in self.get_params().items() if key not in shared}
        if "levels" in own:
            own["levels"] = tuple(own["levels"])
        return self._made(**own)

    def fit(self, X: Any, y: Any = None) -> "_ImageFeature":
        """Learn what the features need to know of the images, and return the transformer.

        Args:
            X: N images, as `ImageClassifier` takes them.
            y: Not used.

        Raises:
            InputError: X or a parameter does not fit.
        """
        with as_value_errors():
            images = self._seen(self._read(X, reset=True)[0])
            self.arrays_ = self._feature().learn(images, seed_of(self.random_state))
            self._n_features_out = self._feature().describe(images[:1], self.arrays_).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(N, F) float32 rows of N images."""
        check_is_fitted(self)
        with as_value_errors():
            images = self._seen(self._read(X, reset=False)[0])
            return described(self._feature(), images, self.arrays_)

    def _seen(self, images: np.ndarray) -> np.ndarray:
        """The images; lines repeated downwards, and their end to the right, as far as needed."""
        if not self._is_line:
            return images
        missing = [max(0, self._least_side - side) for side in images.shape[1:3]]
        return np.pad(images, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32, whatever comes
        return tags


@dataclass(eq=False, repr=False)
class HoG(_ImageFeature):
    """Histograms of oriented gradients, (N, F); nothing is learned.

    Args:
        cell: Side of a cell, pixels.
        image_shape: Shape (H, W) or (H, W, C) of flat rows and of files.

    Source: Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005.

    Example:
        >>> X = np.random.default_rng(0).integers(0, 256, (3, 24, 16), np.uint8)
        >>> HoG(cell=8).fit_transform(X).shape
        (3, 72)
    """

    cell: int = 8
    _: KW_ONLY
    image_shape: tuple[int, ...] | None = None

    _made = classical.HoG


@dataclass(eq=False, repr=False)
class BagOfWords(_ImageFeature):
    """Dense SIFT as counts of k-means words over a spatial pyramid, (N, F).

    Args:
        words: Size of the vocabulary.
        step: Distance from a patch to the next, pixels.
        bin_size: Side of a bin, pixels; a patch is four bins wide.
        levels: Levels of the pyramid, regions a side: (1, 2, 4) are 21 regions.
        image_shape: Shape (H, W) or (H, W, C) of flat rows and of files.
        random_state: Random seed of the vocabulary.

    Source: Lazebnik, Schmid and Ponce, "Beyond bags of features", 2006.

    Example:
        >>> X = np.random.default_rng(0).integers(0, 256, (9, 24, 24), np.uint8)
        >>> BagOfWords(words=5, levels=(1, 2)).fit_transform(X).shape
        (9, 75)
    """

    words: int = 200
    _: KW_ONLY
    step: int = 8
    bin_size: int = 4
    levels: tuple[int, ...] = (1, 2, 4)
    image_shape: tuple[int, ...] | None = None
    random_state: Any = 0

    _made = classical.BagOfWords


@dataclass(eq=False, repr=False)
class FisherVectors(_ImageFeature):
    """Dense SIFT after PCA as Fisher vectors over a pyramid, power- and L2-normalised, (N, F).

    Args:
        gaussians: Number of Gaussians in the mixture.
        dim: Numbers of a descriptor that PCA leaves.
        step: Distance from a patch to the next, pixels.
        bin_size: Side of a bin, pixels; a patch is four bins wide.
        levels: Levels of the pyramid, regions a side.
        image_shape: Shape (H, W) or (H, W, C) of flat rows and of files.
        random_state: Random seed of PCA and mixture.

    Source: Perronnin, Sánchez and Mensink, "Improving the Fisher kernel for large-scale image
    classification", 2010.

    Example:
        >>> X = np.random.default_rng(0).integers(0, 256, (9, 24, 24), np.uint8)
        >>> FisherVectors(gaussians=2, dim=5, levels=(1,)).fit_transform(X).shape
        (9, 20)
    """

    gaussians: int = 32
    _: KW_ONLY
    dim: int = 64
    step: int = 4
    bin_size: int = 4
    levels: tuple[int, ...] = (1, 2)
    image_shape: tuple[int, ...] | None = None
    random_state: Any = 0

    _made = classical.FisherVectors
