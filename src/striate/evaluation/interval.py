"""Intervals: how far a number measured on n items may lie from the one that is meant.

A measured error is one draw: other test images from the same source would have given another.
A 95 % interval comes from a procedure that, over many such draws, covers the true value in 95
of 100 cases (SPEC E3; the tests count them).
"""

from dataclasses import dataclass
from typing import Any

from striate.errors import DataError
from striate.typed_json import JsonRecord

_FEW = ((50, 3), (10, 2), (0, 1))
"""Of more than so many items, counts up to which the Poisson distribution gives an end: 3 and 2
are the choice of Brown, Cai and DasGupta, who study 10 items or more."""


@dataclass(frozen=True)
class Proportion(JsonRecord):
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
        return {"value": self.value, **super().to_json()}


@dataclass(frozen=True)
class Estimate(JsonRecord):
    """A number that is no share of items, with an interval where an honest one is known."""

    value: float
    low: float | None = None
    high: float | None = None


def wilson(count: int, n: int, *, confidence: float = 0.95) -> Proportion:
    """The share `count / n` with Wilson's score interval as Brown, Cai and DasGupta modified it.

    The interval for headline numbers: its average coverage is close to the nominal one from
    n = 10 on, also near 0 and 1, where the normal approximation fails. Wilson's own covers as
    little as 84 % where one, two or three items are to be expected on one side; there the end
    towards 0 or 1 is that of the Poisson distribution, lower or higher than his.

    Args:
        count: items that have the property, 0..n.
        n: items in all, 1 or more.
        confidence: nominal coverage, between 0 and 1.

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
    from scipy.special import gammaincinv

    check_share(count, n, confidence)
    interval = score_interval(count / n, n, normal_quantile(confidence) ** 2)
    low, high = float(interval.low or 0.0), float(interval.high or 0.0)
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
        z2: square of the normal quantile of the wanted coverage.

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
        confidence: nominal coverage, between 0 and 1.

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

    check_share(count, n, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return Proportion(count, n, low, high)


def check_share(count: int, n: int, confidence: float) -> None:
    """Refuse counts that are no share, and a confidence outside (0, 1)."""
    if n < 1 or not 0 <= count <= n:
        raise DataError(f"{count} of {n} is no share: n must be 1 or more and 0 <= count <= n.")
    normal_quantile(confidence)


def normal_quantile(confidence: float) -> float:
    """The z with which a normal variable lies in [-z, z] as often as `confidence` says.

    Raises:
        DataError: a confidence outside (0, 1).

    Example:
        >>> round(normal_quantile(0.95), 4)
        1.96
    """
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise DataError(f"confidence={confidence} must lie between 0 and 1; usual is 0.95.")
    return float(ndtri((1 + confidence) / 2))
