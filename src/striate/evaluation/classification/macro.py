"""Means over classes with their intervals: balanced accuracy, macro F1 and AUC.

Each class weighs as much as any other, however few its items are, so that the mean of K classes
is less certain than its N items suggest. A bootstrap does not say so: of a class whose items all
came out right it draws the same again and claims certainty. All three intervals are therefore
Wilson's, at the effective number of items: as many as would give one share the variance of the
mean, after some right and some wrong items were added.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError, ShapeError
from striate.evaluation.classification.probability import checked
from striate.evaluation.interval import Estimate, normal_quantile, score_interval

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_ADDED = 1.5
"""Times z²/2 pairs of items are added, one of them above all others, one below. Of 1, 1.5 and 2
times, and of wrong ranks at 0, 0.1 and 0.25, this came closest to the nominal coverage over the
regimes of benchmarks/coverage.py."""


def mean_share(
    counts: Array | Sequence[int], sizes: Array | Sequence[int], *, confidence: float = 0.95
) -> Estimate:
    """The unweighted mean of K shares `counts / sizes` with an interval that few items keep wide.

    It is Wilson's score interval at the effective number of items: as many as would give one
    share the variance that the mean of K shares has. The variance within a group comes from its
    share after z²/2K right and z²/2K wrong items were added, so that a perfect group still
    counts as uncertain; it never exceeds that of groups that all have the mean share, which
    bounds it for groups of one item. With one group, and with groups of one size that are all
    perfect, it is Wilson's interval exactly.

    Args:
        counts: (K,) items of each group that have the property.
        sizes: (K,) items of each group, 1 or more.
        confidence: nominal coverage, between 0 and 1.

    Raises:
        DataError: no groups, counts that are no shares, or a confidence outside (0, 1).

    Source: Wilson, JASA 22, 1927, at the effective sample size of Korn and Graubard,
    "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24, 1998; the added items: Price and Bonett,
    "An improved confidence interval for a linear function of binomial proportions",
    Computational Statistics & Data Analysis 45, 2004. The bound is our own; the tests count
    the coverage.

    Example:
        >>> mean = mean_share([2, 2, 2], [2, 2, 2])
        >>> mean.value, round(mean.low, 4), mean.high
        (1.0, 0.6097, 1.0)
    """
    count, size = np.asarray(counts, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if count.shape != size.shape or count.ndim != 1 or not len(count):
        raise DataError(f"{count.shape} counts of {size.shape} groups: give one count a group.")
    if (size < 1).any() or (count < 0).any() or (count > size).any():
        raise DataError(
            "Counts that are no shares: each group needs 0 <= count <= size, size >= 1."
        )
    groups = len(count)
    z2 = normal_quantile(confidence) ** 2
    added = z2 / groups
    smoothed = (count + added / 2) / (size + added)
    # n - 1 makes the variance of a share unbiased; what was added counts towards it.
    divisor = np.minimum(size, size - 1 + added)
    within = float((smoothed * (1 - smoothed) / divisor).sum())
    mean = float(smoothed.mean())
    equal_shares = mean * (1 - mean) * float((1 / size).sum())
    effective = mean * (1 - mean) * groups**2 / min(within, equal_shares)
    return score_interval(float((count / size).mean()), effective, z2)


def macro_f1(confusion: npt.NDArray[Any], *, confidence: float = 0.95) -> Estimate:
    """The unweighted mean of F1 over the classes that have items, with its interval.

    It is Wilson's score interval at the effective number of items: as many as would give one
    share the variance that the mean of F1 has by the delta method. That variance comes from the
    counts after z²/2 right and z²/2 wrong items were spread over the table, so that a table
    without a mistake still counts as uncertain. On few items F1 is too low on average, as ratios
    of counts are; the interval stands about the mean without that part.

    Args:
        confusion: (K, K) counts: row = truth, column = prediction.
        confidence: nominal coverage, between 0 and 1.

    Raises:
        ShapeError: no square table.
        DataError: no items, or a confidence outside (0, 1).

    Source: variance: Takahashi, Yamamoto, Kuchiba and Koyama, "Confidence interval for
    micro-averaged F1 and macro-averaged F1 scores", Applied Intelligence 52, 2022, section 3.2;
    the added items and the effective number as in `mean_share`. What few items take from F1 is
    F1 (1 - F1) / (items + predictions of the class) to second order (our own expansion).
    benchmarks/coverage.py counts the coverage.

    Example:
        >>> f1 = macro_f1(np.array([[8, 2], [1, 9]]))
        >>> round(f1.value, 4), round(f1.low, 2), round(f1.high, 2)
        (0.8496, 0.67, 0.95)
    """
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(f"A confusion matrix is (K, K); what came is {counts.shape}.")
    present = counts.sum(axis=1) > 0
    if not present.any():
        raise DataError("There is nothing to measure: the confusion matrix holds no items.")
    z2 = normal_quantile(confidence) ** 2
    classes = int(present.sum())
    right = np.diag(present)
    wrong = np.outer(present, present) & ~right
    added = counts + right * z2 / (2 * classes) + wrong * z2 / (2 * max(int(wrong.sum()), 1))
    mean = float(_f1(added)[present].mean())
    variance = _variance(added, present)
    # One class, all of it recalled: nothing varies, and the items count as they are.
    effective = mean * (1 - mean) / variance if variance > 0 else float(counts.sum())
    f1 = _f1(counts)[present]
    size = (counts.sum(axis=0) + counts.sum(axis=1))[present]
    lost = float((f1 * (1 - f1) / np.maximum(size - 1, 1)).mean())
    interval = score_interval(min(1.0, float(f1.mean()) + lost), effective, z2)
    return Estimate(float(f1.mean()), interval.low, interval.high)


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


def auc(probabilities: Array, target: Array, *, confidence: float = 0.95) -> Estimate | None:
    """The mean over classes of the AUC against the rest with its interval; None for one class.

    The variance is DeLong's, carried over to the mean: each item counts as a positive of its own
    class and as a negative of all others. The interval is Wilson's at the number of items
    that would give a share this variance, after pairs of items in the right and the wrong order
    were added, so that a perfect order of few items still counts as uncertain.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class.
        confidence: nominal coverage, between 0 and 1.

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
    probabilities, target = checked(probabilities, target)
    n, num_classes = probabilities.shape
    size = np.bincount(target, minlength=num_classes)
    defined = np.flatnonzero((size > 0) & (size < n))
    if not len(defined):
        return None
    z2 = normal_quantile(confidence) ** 2
    added = _ADDED * z2 / 2 / len(defined)
    pull, variance = np.zeros(n), 0.0
    areas, smoothed = [], []
    for k in defined:
        positive = target == k
        order = placements(probabilities[:, k], positive)
        whole = size[k] + 2 * added
        area = (order[positive].sum() + added) / whole
        pull += (order - area) / np.where(positive, whole, n - size[k])
        variance += added * (area**2 + (1 - area) ** 2) / whole**2
        areas.append(order[positive].mean())
        smoothed.append(area)
    mean = float(np.mean(smoothed))
    variance = (variance + float((pull**2).sum())) / len(defined) ** 2
    return score_interval(float(np.mean(areas)), mean * (1 - mean) / variance, z2)


def placements(score: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """For each item the share of the other side that lies on the right side of it; ties half."""
    high, low = np.sort(score[positive]), np.sort(score[~positive])
    order = np.empty(len(score))
    for side, other, above in ((positive, low, True), (~positive, high, False)):
        below = np.searchsorted(other, score[side], "left")
        through = np.searchsorted(other, score[side], "right")
        share = (below + through) / (2 * len(other))
        order[side] = share if above else 1 - share
    return order
