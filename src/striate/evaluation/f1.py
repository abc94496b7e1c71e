"""Macro F1: the mean over classes of F1, with an interval that few items keep wide."""

from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError, ShapeError
from striate.evaluation.interval import Estimate, score_interval

__all__ = ["macro_f1"]

Floats = npt.NDArray[np.float64]


def macro_f1(confusion: npt.NDArray[Any], *, confidence: float = 0.95) -> Estimate:
    """The unweighted mean of F1 over the classes that have items, with its interval.

    It is Wilson's score interval at the effective number of items: as many as would give one
    share the variance that the mean of F1 has by the delta method. That variance comes from the
    counts after z²/2 right and z²/2 wrong items were spread over the table, so that a table
    without a mistake still counts as uncertain. On few items F1 is too low on average, as ratios
    of counts are; the interval stands about the mean without that part.

    Args:
        confusion: (K, K) counts: row = truth, column = answer.
        confidence: coverage asked for, between 0 and 1.

    Raises:
        ShapeError: no square table.
        DataError: no items, or a confidence outside (0, 1).

    Source: variance: Takahashi, Yamamoto, Kuchiba and Koyama, "Confidence interval for
    micro-averaged F1 and macro-averaged F1 scores", Applied Intelligence 52, 2022, section 3.2;
    the added items and the effective number as in `mean_share`. What few items take from F1 is
    F1 (1 - F1) / (items + answers of the class) to second order (our own expansion).
    benchmarks/coverage.py counts the coverage.

    Example:
        >>> f1 = macro_f1(np.array([[8, 2], [1, 9]]))
        >>> round(f1.value, 4), round(f1.low, 2), round(f1.high, 2)
        (0.8496, 0.67, 0.95)
    """
    from scipy.special import ndtri

    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(f"A confusion matrix is (K, K); what came is {counts.shape}.")
    if not 0 < confidence < 1:
        raise DataError(f"confidence={confidence} must lie between 0 and 1; usual is 0.95.")
    present = counts.sum(axis=1) > 0
    if not present.any():
        raise DataError("There is nothing to measure: the confusion matrix holds no items.")
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    classes = int(present.sum())
    right = np.diag(present)
    wrong = np.outer(present, present) & ~right
    added = counts + right * z2 / (2 * classes) + wrong * z2 / (2 * max(int(wrong.sum()), 1))
    mean = float(_f1(added)[present].mean())
    variance = _variance(added, present)
    # One class, all of it found: nothing varies, and the items count as they are.
    effective = mean * (1 - mean) / variance if variance > 0 else float(counts.sum())
    f1 = _f1(counts)[present]
    size = (counts.sum(axis=0) + counts.sum(axis=1))[present]
    lost = float((f1 * (1 - f1) / np.maximum(size - 1, 1)).mean())
    found = score_interval(min(1.0, float(f1.mean()) + lost), effective, z2)
    return Estimate(float(f1.mean()), found.low, found.high)


def _variance(counts: Floats, present: npt.NDArray[np.bool_]) -> float:
    """The variance of the mean of F1: the squared influences of all items, summed."""
    size = np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1e-300)
    f1 = _f1(counts)
    lost = np.where(present, f1 / size, 0.0)
    influence = -(lost[:, None] + lost[None, :])
    np.fill_diagonal(influence, np.where(present, 2 * (1 - f1) / size, 0.0))
    return float((counts * influence**2).sum()) / int(present.sum()) ** 2


def _f1(counts: Floats) -> Floats:
    size = np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1e-300)
    f1: Floats = 2 * counts.diagonal() / size
    return f1
