"""The mean of shares that were counted in groups of their own, such as the recalls of classes.

Each group is a sample by itself, so the mean of K shares is less certain than its N items
suggest when small groups weigh as much as large ones, and less certain than a bootstrap says:
a bootstrap of a group whose items all came out alike draws the same again and claims certainty.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import DataError
from striate.evaluation.interval import Estimate, score_interval

__all__ = ["mean_share"]


def mean_share(
    counts: Sequence[int], sizes: Sequence[int], *, confidence: float = 0.95
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
        confidence: coverage asked for, between 0 and 1.

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
    from scipy.special import ndtri

    count, size = np.asarray(counts, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if count.shape != size.shape or count.ndim != 1 or not len(count):
        raise DataError(f"{count.shape} counts of {size.shape} groups: give one count a group.")
    if (size < 1).any() or (count < 0).any() or (count > size).any():
        raise DataError(
            "Counts that are no shares: each group needs 0 <= count <= size, size >= 1."
        )
    if not 0 < confidence < 1:
        raise DataError(f"confidence={confidence} must lie between 0 and 1; usual is 0.95.")
    groups = len(count)
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    added = z2 / groups
    smoothed = (count + added / 2) / (size + added)
    # n - 1 makes the variance of a share unbiased; what was added counts towards it.
    divisor = np.minimum(size, size - 1 + added)
    within = float((smoothed * (1 - smoothed) / divisor).sum())
    mean = float(smoothed.mean())
    alike = mean * (1 - mean) * float((1 / size).sum())
    effective = mean * (1 - mean) * groups**2 / min(within, alike)
    return score_interval(float((count / size).mean()), effective, z2)
