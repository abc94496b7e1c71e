"""Intervals: how far a number measured on n items may lie from the one that is meant.

A measured error is one draw: other test images from the same source would have given another.
A 95 % interval comes from a procedure that, over many such draws, covers the true value in 95
of 100 cases (SPEC E3; the tests count them).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from striate.errors import DataError

__all__ = [
    "Estimate",
    "Proportion",
    "bootstrap",
    "clopper_pearson",
    "score_interval",
    "wilson",
]

Indices = npt.NDArray[np.int64]

_FEW = ((50, 3), (10, 2), (0, 1))
"""Of more than so many items, counts up to which the Poisson distribution gives an end: 3 and 2
are the choice of Brown, Cai and DasGupta, who look at 10 items or more."""


@dataclass(frozen=True)
class Proportion:
    """A share `count / n` of counted items, with its interval."""

    count: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.count / self.n

    def to_json(self) -> dict[str, Any]:
        """The share as JSON values; `value` is added for the reader."""
        return {"value": self.value, **asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Proportion":
        """The share back from `to_json`."""
        return cls(value["count"], value["n"], value["low"], value["high"])


@dataclass(frozen=True)
class Estimate:
    """A number that is no share of items, with an interval where an honest one is known."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The number as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Estimate":
        """The number back from `to_json`."""
        return cls(value["value"], value["low"], value["high"])


def wilson(count: int, n: int, *, confidence: float = 0.95) -> Proportion:
    """The share `count / n` with Wilson's score interval as Brown, Cai and DasGupta modified it.

    The interval for headline numbers: its average coverage is close to the nominal one from
    n = 10 on, also near 0 and 1, where the normal approximation fails. Wilson's own covers as
    little as 84 % where one, two or three items are to be expected on one side; there the end
    towards 0 or 1 is that of the Poisson distribution, lower or higher than his.

    Args:
        count: items that have the property, 0..n.
        n: items in all, 1 or more.
        confidence: coverage asked for, between 0 and 1.

    Raises:
        DataError: counts that are no share, or a confidence outside (0, 1).

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22, 1927; Brown, Cai and DasGupta, "Interval estimation for a binomial proportion",
    Statistical Science 16, 2001, section 4.1.1.

    Example:
        >>> share = wilson(7, 360)
        >>> round(share.low, 4), round(share.high, 4)
        (0.0095, 0.0396)
    """
    from scipy.special import gammaincinv, ndtri

    _check(count, n, confidence)
    found = score_interval(count / n, n, float(ndtri((1 + confidence) / 2)) ** 2)
    low, high = float(found.low or 0.0), float(found.high or 0.0)
    few = next(most for items, most in _FEW if n > items)
    if 0 < count < n and count <= few:
        low = min(low, float(gammaincinv(count, 1 - confidence)) / n)
    if 0 < count < n and n - count <= few:
        high = max(high, 1 - float(gammaincinv(n - count, 1 - confidence)) / n)
    return Proportion(count, n, low, high)


def score_interval(share: float, n: float, z2: float) -> Estimate:
    """Wilson's own interval of a share of n items, n whole or not.

    Args:
        share: 0..1.
        n: items, or as many as would give a share this variance.
        z2: square of the normal quantile of the coverage asked for.

    Example:
        >>> score_interval(1.0, 10.0, 1.96**2)
        Estimate(value=1.0, low=0.7224598312333834, high=1.0)
    """
    shrink = 1 + z2 / n
    centre = (share + z2 / (2 * n)) / shrink
    half = (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5 / shrink
    # Exactly 0 and 1 at the ends, where rounding would leave 1e-18.
    return Estimate(
        share, 0.0 if share == 0 else centre - half, 1.0 if share == 1 else centre + half
    )


def clopper_pearson(count: int, n: int, *, confidence: float = 0.95) -> Proportion:
    """The share `count / n` with the exact interval, which covers at least `confidence`, always.

    Wider than Wilson's; for a promise rather than a description.

    Args:
        count: items that have the property, 0..n.
        n: items in all, 1 or more.
        confidence: coverage asked for, between 0 and 1.

    Raises:
        DataError: counts that are no share, or a confidence outside (0, 1).

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the
    case of the binomial", Biometrika 26, 1934.

    Example:
        >>> share = clopper_pearson(0, 10)
        >>> share.low, round(share.high, 4)
        (0.0, 0.3085)
    """
    from scipy.special import betaincinv

    _check(count, n, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return Proportion(count, n, low, high)


def bootstrap(
    statistic: Callable[[Indices], float],
    n: int,
    *,
    generator: torch.Generator,
    strata: npt.NDArray[Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """A statistic of n items with the percentile interval of its bootstrap over items.

    Args:
        statistic: from the indices of items (n,) to one number.
        n: items in all.
        generator: the source of chance; a fresh one gives the same interval again.
        strata: (n,) group of each item; each group is then drawn from within itself, so that
            the groups keep their sizes (per-class means need that).
        resamples: how many times the items are drawn anew; the ends of the interval have a
            simulation error of about 3 % of its width at 1000.
        confidence: coverage asked for, between 0 and 1.

    Raises:
        DataError: no items, no resamples, or a confidence outside (0, 1).

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7,
    1979; percentile interval: Efron and Tibshirani, "An introduction to the bootstrap", 1993,
    chapter 13.

    Example:
        >>> values = np.array([0.2, 1.4, 0.7, 3.1, 0.9, 1.1])
        >>> chance = torch.Generator().manual_seed(0)
        >>> mean = bootstrap(lambda items: values[items].mean(), 6, generator=chance)
        >>> mean.low < mean.value < mean.high
        True
    """
    _check(0, n, confidence)
    if resamples < 1:
        raise DataError(f"resamples={resamples} must be 1 or more.")
    groups = np.zeros(n, dtype=np.int64) if strata is None else np.asarray(strata)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    size = sizes[group][order]
    start = (np.cumsum(sizes) - sizes)[group][order]
    drawn = np.empty(resamples)
    for resample in range(resamples):
        uniform = torch.rand(n, generator=generator, dtype=torch.float64).numpy()
        # The product may round up to `size` itself, which would be the next group's item.
        offset = np.minimum((uniform * size).astype(np.int64), size - 1)
        drawn[resample] = statistic(order[start + offset])
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(float(statistic(np.arange(n))), float(low), float(high))


def _check(count: int, n: int, confidence: float) -> None:
    if n < 1 or not 0 <= count <= n:
        raise DataError(f"{count} of {n} is no share: n must be 1 or more and 0 <= count <= n.")
    if not 0 < confidence < 1:
        raise DataError(f"confidence={confidence} must lie between 0 and 1; usual is 0.95.")
