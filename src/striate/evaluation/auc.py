"""Area under the ROC curve, one class against the rest, averaged over classes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError
from striate.evaluation.interval import Estimate, score_interval
from striate.evaluation.prediction import checked

__all__ = ["auc", "class_aucs"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_ADDED = 1.5
"""Times z²/2 pairs of items are added, one of them above all others, one below. Of 1, 1.5 and 2
times, and of bad places at 0, 0.1 and 0.25, this came closest to the nominal coverage over the
regimes of benchmarks/coverage.py."""


def class_aucs(probabilities: Array, target: Array) -> Floats:
    """(K,) the AUC of each class against the rest; nan for a class without items or without rest.

    The probability that an item of the class gets a higher probability of it than an item of
    another class; ties count one half.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class.

    Raises:
        ShapeError, DataError: as for `measure`.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
        >>> class_aucs(p, np.array([0, 0, 1, 1])).tolist()
        [0.75, 0.75]
    """
    probabilities, target = checked(probabilities, target)
    areas = np.full(probabilities.shape[1], np.nan)
    for k, column in enumerate(probabilities.T):
        positive = target == k
        if positive.any() and not positive.all():
            areas[k] = _placed(column, positive)[positive].mean()
    return areas


def auc(probabilities: Array, target: Array, *, confidence: float = 0.95) -> Estimate | None:
    """The mean over classes of the AUC against the rest with its interval; None for one class.

    The variance is DeLong's, carried over to the mean: each item counts as a positive of its own
    class and as a negative of all others. The interval is Wilson's at the number of items
    that would give a share this variance, after pairs of items in the right and the wrong order
    were added, so that a perfect order of few items still counts as uncertain.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class.
        confidence: coverage asked for, between 0 and 1.

    Raises:
        ShapeError, DataError: as for `measure`, or a confidence outside (0, 1).

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves", Biometrics 44, 1988; the mean over classes and the
    added items, as in `mean_share`, are our own; benchmarks/coverage.py counts the coverage.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
        >>> auc(p, np.array([0, 0, 1, 1])).value
        0.75
    """
    from scipy.special import ndtri

    probabilities, target = checked(probabilities, target)
    if not 0 < confidence < 1:
        raise DataError(f"confidence={confidence} must lie between 0 and 1; usual is 0.95.")
    n, num_classes = probabilities.shape
    size = np.bincount(target, minlength=num_classes)
    defined = np.flatnonzero((size > 0) & (size < n))
    if not len(defined):
        return None
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    added = _ADDED * z2 / 2 / len(defined)
    pull, variance = np.zeros(n), 0.0
    areas, smoothed = [], []
    for k in defined:
        positive = target == k
        placed = _placed(probabilities[:, k], positive)
        whole = size[k] + 2 * added
        area = (placed[positive].sum() + added) / whole
        pull += (placed - area) / np.where(positive, whole, n - size[k])
        variance += added * (area**2 + (1 - area) ** 2) / whole**2
        areas.append(placed[positive].mean())
        smoothed.append(area)
    mean = float(np.mean(smoothed))
    variance = (variance + float((pull**2).sum())) / len(defined) ** 2
    return score_interval(float(np.mean(areas)), mean * (1 - mean) / variance, z2)


def _placed(score: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """For each item the share of the other side that lies on the right side of it; ties half."""
    high, low = np.sort(score[positive]), np.sort(score[~positive])
    placed = np.empty(len(score))
    for side, other, above in ((positive, low, True), (~positive, high, False)):
        below = np.searchsorted(other, score[side], "left")
        through = np.searchsorted(other, score[side], "right")
        share = (below + through) / (2 * len(other))
        placed[side] = share if above else 1 - share
    return placed
