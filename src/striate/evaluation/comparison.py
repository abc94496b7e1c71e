"""Systems compared on the same items by one metric: paired tests, differences, a verdict.

Only what differs on the same items tells two systems apart, so that paired tests find
differences that two separate intervals hide.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import ShapeError
from striate.evaluation.bootstrap import percentile_interval, resampled
from striate.evaluation.interval import Estimate, Proportion
from striate.evaluation.metric import Metric, Rows, estimate, group_influences, groups_of
from striate.randomness import derive_seed, generator
from striate.typed_json import JsonRecord

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

LEVEL = 0.05
"""Largest adjusted p at which two systems differ."""
_CONFIDENCE = 0.95
_FLIPS = 10_000
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Pair(JsonRecord):
    """The second system against the first one."""

    first: str
    second: str
    difference: Estimate
    """Metric of the second less that of the first, on the same items."""
    p: float
    """How often equally good systems would differ as much (two-sided)."""
    p_adjusted: float
    """p after Holm's correction for the number of pairs."""

    @property
    def differ(self) -> bool:
        """Whether the difference is significant at 5 %, all pairs together."""
        return self.p_adjusted <= LEVEL

    def to_json(self) -> dict[str, Any]:
        """The pair as JSON values; `differ` is added for the reader."""
        return {**super().to_json(), "differ": self.differ}


@dataclass(frozen=True)
class Comparison:
    """Systems on the same n items, compared by one metric."""

    metric: Metric
    n: int
    estimates: Mapping[str, Estimate | Proportion]
    """Metric of each system, with its interval."""
    pairs: tuple[Pair, ...]
    """Every two systems, in their order."""


def compare(
    metric: Metric,
    systems: Mapping[str, Rows],
    *,
    groups: Array | None = None,
    strata: Array | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Two or more systems on the same items: a test and a difference for each pair.

    Shares of items are compared with McNemar's exact test, other means over items with the
    sign-flip test, all other metrics with the paired bootstrap. Items in groups count as their
    groups: the signs of whole groups are flipped.

    Args:
        metric: Number by which they are compared.
        systems: Rows of each system by its name; the same N items in the same order.
        groups: Group of each item (N,), where items of a group are no independent draws.
        strata: Stratum of each item (N,); the bootstrap keeps the sizes of the strata.
        resamples: Number of resamples of the bootstrap.
        seed: Random seed.

    Raises:
        ShapeError: fewer than two systems, or systems with different numbers of items.

    Example:
        >>> from striate.evaluation.metric import Columns
        >>> error = Metric.mean("error", True, lambda rows: ~rows["right"])
        >>> good, bad = Columns({"right": np.arange(40) > 0}), Columns({"right": np.arange(40) > 9})
        >>> pair = compare(error, {"good": good, "bad": bad}).pairs[0]
        >>> round(pair.difference.value, 3), round(pair.p, 5)
        (0.225, 0.00391)
    """
    sizes = {name: len(rows) for name, rows in systems.items()}
    if len(sizes) < 2 or len(set(sizes.values())) != 1:
        raise ShapeError(
            "A comparison takes two systems or more on the same items; their numbers of items are "
            f"{sizes}."
        )
    groups = groups_of(next(iter(systems.values()))) if groups is None else groups
    sampling: dict[str, Any] = {"groups": groups, "strata": strata, "resamples": resamples}
    names = list(combinations(systems, 2))
    differences = [_pair(metric, systems, pair, seed, sampling) for pair in names]
    adjusted = holm([p for _, p in differences])
    return Comparison(
        metric,
        next(iter(sizes.values())),
        {name: estimate(metric, rows, seed=seed, **sampling) for name, rows in systems.items()},
        tuple(
            Pair(*pair, *difference, holms)
            for pair, difference, holms in zip(names, differences, adjusted, strict=True)
        ),
    )


def _pair(
    metric: Metric,
    systems: Mapping[str, Rows],
    names: tuple[str, str],
    seed: int,
    sampling: Mapping[str, Any],
) -> tuple[Estimate, float]:
    """The difference of two systems with its interval, and the p of its test."""
    first, second = (systems[name] for name in names)
    groups = sampling["groups"]
    if metric.per_item is None:
        before_of, after_of = metric.of_drawn(first), metric.of_drawn(second)
        drawn = resampled(
            lambda index: after_of(index) - before_of(index),
            len(first),
            generator=generator(seed, "paired bootstrap", *names),
            **sampling,
        )
        difference = metric.value(second) - metric.value(first)
        return percentile_interval(difference, drawn, _CONFIDENCE), _bootstrap_p(drawn)
    before, after = np.asarray(metric.per_item(first)), np.asarray(metric.per_item(second))
    if before.dtype == np.bool_ and groups is None:
        only = int((before & ~after).sum()), int((after & ~before).sum())
        return share_difference(*only, len(first), seed=seed), mcnemar(*only)
    differences = after.astype(np.float64) - before.astype(np.float64)
    defined = ~np.isnan(differences)
    values = differences = differences[defined]
    mean = float(differences.mean())
    if groups is not None:
        group = np.unique(np.asarray(groups)[defined], return_inverse=True)[1]
        values = mean + group_influences(differences, group)
        differences = np.bincount(group, weights=differences).astype(np.float64)
    p = sign_flip(differences, seed=derive_seed(seed, "sign flips", *names))
    most = 1.0 if before.dtype == np.bool_ else metric.most
    return replace(mean_difference(values, most=most), value=mean), p


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p of McNemar's test.

    Args:
        only_first: number of items that only the first system has wrong.
        only_second: number of items that only the second one has wrong.

    Source: McNemar, Psychometrika 12, 1947; exact: the binomial test on the items where the two
    disagree, with its tail doubled.

    Example:
        >>> round(mcnemar(1, 9), 5)
        0.02148
    """
    from scipy.special import bdtr

    n = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), n, 0.5))) if n else 1.0


def sign_flip(differences: Array, *, seed: int = 0) -> float:
    """The two-sided p of the sign-flip test that paired differences have the mean 0.

    Equally good systems could be exchanged on any item, which flips the sign of its difference.
    Up to 13 differences all patterns of signs are tried, of more a random sample.

    Args:
        differences: Difference of each item (N,), or the sum of each group of items.
        seed: Random seed.

    Source: Fisher, "The design of experiments", 1935, section 21; p of a sample of patterns:
    Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9, 2010.

    Example:
        >>> sign_flip(np.array([1.0, 2.0, 3.0]))
        0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    n = len(values)
    if n == 0:
        return 1.0
    # Sums in another order differ by rounding from the one that was observed.
    observed = abs(float(values.sum())) * (1 - 1e-12)
    if 2**n <= _FLIPS:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float((np.abs(signs @ values) >= observed).mean())
    random = np.random.default_rng(derive_seed(seed, "signs"))
    reached = 0
    for start in range(0, _FLIPS, size := max(1, _NUMBERS_AT_ONCE // n)):
        signs = random.integers(2, size=(min(size, _FLIPS - start), n), dtype=np.int8)
        reached += int((np.abs(values.sum() - 2 * (signs @ values)) >= observed).sum())
    return (1 + reached) / (1 + _FLIPS)


def _bootstrap_p(drawn: Floats) -> float:
    """The two-sided p of no difference: twice the share of resamples beyond it."""
    drawn = drawn[~np.isnan(drawn)]
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (1 + beyond) / (1 + len(drawn)))


def share_difference(only_first: int, only_second: int, n: int, *, seed: int = 0) -> Estimate:
    """The difference of two shares of the same n items with the interval of its bootstrap.

    The bootstrap draws items that only one or no system has wrong; one item more of each of the
    first two kinds keeps a few disagreements, or none, from claiming certainty.

    Args:
        only_first: Number of items that only the first system has wrong.
        only_second: Number of items that only the second one has wrong.
        n: Number of items.
        seed: Random seed.

    Source: the items more: Bonett and Price, "Adjusted Wald confidence interval for a difference
    of binomial proportions based on paired data", Journal of Educational and Behavioral
    Statistics 37, 2012.

    Example:
        >>> difference = share_difference(1, 9, 100)
        >>> difference.value, difference.low > 0
        (0.08, True)
    """
    whole = n + 2
    share = np.array([only_first + 1, only_second + 1, n - only_first - only_second]) / whole
    random = np.random.default_rng(derive_seed(seed, only_first, only_second, n))
    drawn = random.multinomial(whole, share, size=20_000)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / whole, [0.025, 1 - 0.025])
    return Estimate((only_second - only_first) / n, float(low), float(high))


def mean_difference(differences: Array, *, most: float = math.inf) -> Estimate:
    """The mean of paired differences with Student's interval; none where all are equal.

    Differences of two systems are much more symmetric than the values themselves. Of Student's
    interval, Hall's and the percentile bootstrap, Student's came closest to the nominal coverage
    over the regimes of benchmarks/coverage.py.

    Args:
        differences: Difference of each item (N,), or of each group.
        most: Largest difference that two means can have.

    Example:
        >>> mean = mean_difference(np.array([0.1, 0.3, 0.2, 0.2]))
        >>> round(mean.low, 3), round(mean.high, 3)
        (0.07, 0.33)
    """
    from scipy.special import stdtrit

    n, mean = len(differences), float(differences.mean())
    if differences.min() == differences.max():
        return Estimate(mean)
    deviation = float(differences.std(ddof=1))
    half = float(stdtrit(n - 1, (1 + _CONFIDENCE) / 2)) * deviation / n**0.5
    return Estimate(mean, max(mean - half, -most), min(mean + half, most))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order of the input.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted
