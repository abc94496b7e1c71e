"""Medians with their spread, and the mean of ratios."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Summary", "geometric_mean", "summary"]


@dataclass(frozen=True)
class Summary:
    """Median, quartiles and range of n values."""

    n: int
    median: float
    q1: float
    q3: float
    low: float
    high: float

    def __str__(self) -> str:
        """The median, with the range in brackets where there is one."""
        if self.n == 1:
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.low)}–{shown(self.high)})"


def summary(values: Iterable[float]) -> Summary:
    """Median, quartiles (inclusive method) and range.

    Raises:
        ValueError: no values.

    Example:
        >>> summary([3.0, 1.0, 2.0])
        Summary(n=3, median=2.0, q1=1.5, q3=2.5, low=1.0, high=3.0)
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("A summary needs at least one value; there are none.")
    if len(ordered) == 1:
        only = ordered[0]
        return Summary(1, only, only, only, only, only)
    q1, median, q3 = statistics.quantiles(ordered, n=4, method="inclusive")
    return Summary(len(ordered), median, q1, q3, ordered[0], ordered[-1])


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean of ratios that does not care which side is the denominator.

    Raises:
        ValueError: no ratios, or one that is not positive.

    Example:
        >>> geometric_mean([2.0, 8.0])
        4.0
    """
    if not ratios or min(ratios) <= 0:
        raise ValueError(f"A geometric mean needs positive ratios; these came: {list(ratios)}.")
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def shown(value: float) -> str:
    """Three digits that count, thousands with a comma."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, digits)}f}" if digits < 6 else f"{value:.3g}"
