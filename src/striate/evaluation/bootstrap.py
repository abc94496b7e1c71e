"""The bootstrap: how a statistic varies when its items are drawn anew."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from striate.errors import DataError
from striate.evaluation.interval import Estimate

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Statistic = Callable[[npt.NDArray[np.int64]], float]

_MOST_UNDEFINED = 0.1
"""Share of resamples in which a statistic may be undefined and still get an interval."""


def percentile_interval(value: float, drawn: Floats, confidence: float) -> Estimate:
    """The value with the quantiles of its resamples as the ends of its interval.

    No interval is given where all resamples are equal, which says nothing of the spread, nor
    where more than a tenth of them are undefined (nan).

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7,
    1979; Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Example:
        >>> percentile_interval(2.0, np.arange(101.0), 0.5)
        Estimate(value=2.0, low=25.0, high=75.0)
    """
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < (1 - _MOST_UNDEFINED) * len(drawn) or defined.min() == defined.max():
        return Estimate(value)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def resampled(
    statistic: Statistic,
    n: int,
    *,
    generator: torch.Generator,
    strata: Array | None = None,
    groups: Array | None = None,
    resamples: int = 1000,
) -> Floats:
    """(R,) values of a statistic over R resamples of n items, drawn with replacement.

    Args:
        statistic: function from the indices of items (n,) to one number.
        n: number of items.
        generator: source of randomness.
        strata: (n,) stratum of each item; the strata keep their sizes.
        groups: (n,) group of each item; whole groups are drawn, and a group's stratum is that
            of its first item.
        resamples: R.

    Raises:
        DataError: no resamples.
    """
    if resamples < 1:
        raise DataError(f"resamples={resamples} must be 1 or more.")
    if groups is not None:
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
        return resampled(
            lambda drawn: statistic(np.concatenate([members[g] for g in drawn])),
            len(first),
            generator=generator,
            strata=None if strata is None else np.asarray(strata)[first],
            resamples=resamples,
        )
    labels = np.zeros(n, dtype=np.int64) if strata is None else np.asarray(strata)
    _, stratum, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(stratum, kind="stable")
    size = sizes[stratum][order]
    start = (np.cumsum(sizes) - sizes)[stratum][order]
    values = np.empty(resamples)
    for resample in range(resamples):
        uniform = torch.rand(n, generator=generator, dtype=torch.float64).numpy()
        # The product may round up to `size` itself, which would be the next stratum's item.
        offset = np.minimum((uniform * size).astype(np.int64), size - 1)
        values[resample] = statistic(order[start + offset])
    return values
