"""Classical predictors: features that people thought of, and a classifier of their rows.

Yardsticks for networks: `striate train DATA --network hog-svm` goes through the same splits, the
same seal and the same report.
"""

from striate.classical.classifier import LinearSVM, Neighbours, Softmax
from striate.classical.feature import HoG, RawPixels
from striate.classical.fisher import FisherVectors, fisher_vector
from striate.classical.hog import hog
from striate.classical.predictor import Predictor
from striate.classical.sift import dense_sift
from striate.classical.vocabulary import BagOfWords
from striate.registry import Registry

__all__ = [
    "PREDICTORS",
    "BagOfWords",
    "FisherVectors",
    "HoG",
    "Predictor",
    "dense_sift",
    "fisher_vector",
    "hog",
]

_TINY = 32
"""Pixels are compared at this size: larger images differ by where things lie, not by what."""


def _either(chosen: float | None, values: tuple[float, ...]) -> tuple[float, ...]:
    return values if chosen is None else (chosen,)


def hog_svm(cell: int | None = None, c: float | None = None) -> Predictor:
    """Histograms of oriented gradients and a linear SVM (Dalal and Triggs 2005)."""
    return Predictor(
        HoG(cell), LinearSVM(_either(c, (1e-5, 1e-4, 1e-3, 1e-2))), side=128, grey=True
    )


def pixels_knn(k: int | None = None) -> Predictor:
    """The nearest training images by their pixels."""
    values = (1, 3, 5, 7, 9, 15) if k is None else (k,)
    return Predictor(RawPixels(), Neighbours(values), side=_TINY, grey=False)


def pixels_svm(c: float | None = None) -> Predictor:
    """A linear SVM on pixels."""
    values = _either(c, (1e-5, 1e-4, 1e-3, 1e-2))
    return Predictor(RawPixels(), LinearSVM(values), side=_TINY, grey=False)


def pixels_softmax(c: float | None = None) -> Predictor:
    """Logistic regression on pixels."""
    values = _either(c, (1e-4, 1e-3, 1e-2, 1e-1))
    return Predictor(RawPixels(), Softmax(values), side=_TINY, grey=False)


def sift_bow(
    words: int = 200,
    step: int = 8,
    bin_size: int = 4,
    levels: tuple[int, ...] = (1, 2, 4),
    c: float | None = None,
) -> Predictor:
    """Dense SIFT, a k-means vocabulary, a spatial pyramid, an SVM (Lazebnik et al. 2006)."""
    feature = BagOfWords(words, step, bin_size, levels)
    svm = LinearSVM(_either(c, (1.0, 10.0, 100.0)), standardise=False)
    return Predictor(feature, svm, side=256, grey=True)


def sift_fisher(
    gaussians: int = 32,
    dim: int = 64,
    step: int = 4,
    bin_size: int = 4,
    levels: tuple[int, ...] = (1, 2),
    c: float | None = None,
) -> Predictor:
    """Dense SIFT as Fisher vectors, a pyramid, a linear SVM (Perronnin et al. 2010)."""
    feature = FisherVectors(gaussians, dim, step, bin_size, levels)
    svm = LinearSVM(_either(c, (1.0, 10.0, 100.0)), standardise=False)
    return Predictor(feature, svm, side=256, grey=True)


PREDICTORS: Registry[Predictor] = Registry(
    "predictor",
    {
        function.__name__.replace("_", "-"): function
        for function in (hog_svm, pixels_knn, pixels_svm, pixels_softmax, sift_bow, sift_fisher)
    },
)
"""Names of `--network` that are no networks, and their constructors."""
