"""Metrics as functions of rows, where a row is what is kept of one evaluated item.

A task says which rows it keeps and which numbers follow from them. Everything else is derived
here for every task: the interval of a metric, and the comparison of systems on the same items
(`comparison`), since both only need the rows of some of the items.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from striate.errors import ShapeError
from striate.evaluation.bootstrap import percentile_interval, resampled
from striate.evaluation.interval import Estimate, Proportion, check_share, score_interval, wilson
from striate.evaluation.mean import mean_interval
from striate.randomness import generator

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


GROUP = "group"
"""Column of rows with a number for the group of each item; intervals draw whole groups."""


@runtime_checkable
class Rows(Protocol):
    """The record of N evaluated items, one row for each."""

    def __len__(self) -> int: ...

    def take(self, index: Indices) -> "Rows":
        """The rows of some items (M,), in that order, an item perhaps more than once."""
        ...


@dataclass(frozen=True)
class Columns:
    """Rows as named columns: arrays (N, ...), or N arrays of different lengths each.

    Example:
        >>> rows = Columns({"right": np.array([True, False]), "boxes": [np.zeros((3, 4)), None]})
        >>> rows.take(np.array([0, 0]))["right"].tolist()
        [True, True]
    """

    columns: Mapping[str, Array | Sequence[Any]]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ShapeError(f"Columns hold one entry an item; these have the lengths {lengths}.")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def take(self, index: Indices) -> "Columns":
        """The rows of some items (M,), in that order."""
        return Columns(
            {
                name: column[index]
                if isinstance(column, np.ndarray)
                else [column[i] for i in index.tolist()]
                for name, column in self.columns.items()
            }
        )


@dataclass(frozen=True)
class Metric:
    """A number that follows from rows.

    Attributes:
        name: words for people, such as "error".
        lower_is_better: direction of improvement.
        value: function from rows to the number; nan where it is undefined.
        per_item: function from rows to one value an item (N,), where the metric is their mean:
            booleans for shares of items, floats for other means, nan where an item has none.
        interval: function (rows, confidence) to the number with an interval of its own, where
            one is known that covers better than the bootstrap. Used without groups only.
        counts: function from rows to numbers of each item (N, ...), where the metric follows from
            their sum; the bootstrap then adds up few numbers instead of drawing rows.
        of_counts: function from that sum to the metric.
        most: largest value that an item can have, where the metric is a mean of numbers.
    """

    name: str
    lower_is_better: bool
    value: Callable[[Any], float]
    per_item: Callable[[Any], Array] | None = None
    interval: Callable[[Any, float], Estimate] | None = None
    counts: Callable[[Any], Array] | None = None
    of_counts: Callable[[Array], float] | None = None
    most: float = math.inf

    @classmethod
    def mean(
        cls,
        name: str,
        lower_is_better: bool,
        per_item: Callable[[Any], Array],
        *,
        most: float = math.inf,
    ) -> "Metric":
        """The mean of one value an item.

        Example:
            >>> error = Metric.mean("error", True, lambda rows: ~rows["right"])
            >>> error.value(Columns({"right": np.array([True, True, False, True])}))
            0.25
        """

        def value(rows: Any) -> float:
            values = _defined(per_item(rows))
            return float(values.mean()) if len(values) else float("nan")

        return cls(name, lower_is_better, value, per_item, most=most)

    @classmethod
    def pooled(
        cls,
        name: str,
        lower_is_better: bool,
        counts: Callable[[Any], Array],
        of_counts: Callable[[Array], float],
    ) -> "Metric":
        """A function of the sum of what is counted of each item.

        Example:
            >>> rows = Columns({"counts": np.array([[1, 1], [1, 3]])})
            >>> ratio = Metric.pooled("ratio", False, lambda r: r["counts"], lambda c: c[0] / c[1])
            >>> ratio.value(rows)
            0.5
        """
        return cls(
            name,
            lower_is_better,
            lambda rows: float(of_counts(counts(rows).sum(axis=0))),
            counts=counts,
            of_counts=of_counts,
        )

    def of_drawn(self, rows: Any) -> Callable[[Indices], float]:
        """The metric of some of the rows as a function of their indices."""
        of_counts = self.of_counts
        if self.counts is None or of_counts is None:
            return lambda index: self.value(rows.take(index))
        counts = self.counts(rows)
        return lambda index: float(of_counts(counts[index].sum(axis=0)))


@runtime_checkable
class Meter(Protocol):
    """Collects rows batch by batch, and says which metrics follow from them."""

    metrics: tuple[Metric, ...]
    """The first is the headline."""

    def update(self, prediction: Mapping[str, Tensor], batch: Any) -> None:
        """Keep the rows of one batch.

        Args:
            prediction: tensors (B, ...) that the task predicts.
            batch: the batch itself, with its targets.
        """
        ...

    def rows(self) -> Rows:
        """Rows of all items so far, in the order in which they came."""
        ...


class KeepingMeter:
    """Keeps columns (N, ...) of all items.

    Args:
        metrics: Metrics that follow from these rows; the first is the headline.
        columns: Function from the predictions and the batch to columns (B, ...) by name.
    """

    def __init__(
        self,
        metrics: tuple[Metric, ...],
        columns: Callable[[Mapping[str, Tensor], Any], Mapping[str, Array]],
    ) -> None:
        self.metrics = metrics
        self._columns = columns
        self._parts: dict[str, list[Array]] = {}

    def update(self, prediction: Mapping[str, Tensor], batch: Any) -> None:
        """Keep the rows of one batch."""
        for name, values in self._columns(prediction, batch).items():
            self._parts.setdefault(name, []).append(values)

    def rows(self) -> Columns:
        """Rows of all items so far."""
        return Columns({name: np.concatenate(parts) for name, parts in self._parts.items()})


@dataclass(frozen=True)
class Scores:
    """Metrics of one split, and the rows that they follow from."""

    metrics: tuple[Metric, ...]
    """The first is the headline."""
    rows: Rows
    groups: Array | None = None
    """(N,) group of each item, such as its patient, where the data have groups."""
    strata: Array | None = None
    """(N,) stratum of each item, such as its class."""

    @cached_property
    def values(self) -> dict[str, float]:
        """The value of each metric by its name."""
        return {metric.name: metric.value(self.rows) for metric in self.metrics}

    @property
    def headline(self) -> float:
        """The value of the first metric."""
        return self.values[self.metrics[0].name]

    def estimates(self, *, confidence: float = 0.95) -> dict[str, Estimate | Proportion]:
        """Each metric by its name with its interval; see `estimate`. They are computed once."""
        if confidence not in self._estimates:
            self._estimates[confidence] = {
                metric.name: estimate(
                    metric, self.rows, confidence=confidence, groups=self.groups, strata=self.strata
                )
                for metric in self.metrics
            }
        return self._estimates[confidence]

    @cached_property
    def _estimates(self) -> dict[float, dict[str, Estimate | Proportion]]:
        return {}


def estimate(
    metric: Metric,
    rows: Rows,
    *,
    confidence: float = 0.95,
    groups: Array | None = None,
    strata: Array | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate | Proportion:
    """A metric with an interval that fits its kind.

    Shares of items have Wilson's interval, other means over items Hall's, metrics with an
    interval of their own that one, and all others the percentile interval of the bootstrap over
    items. Where items come in groups, means are those of independent groups: Wilson's interval
    stands at the effective number of items, Hall's is computed from groups; the bootstrap draws
    whole groups.

    Args:
        metric: the number to estimate.
        rows: what is kept of N items, one or more.
        confidence: nominal coverage, between 0 and 1.
        groups: (N,) group of each item, where items of a group are no independent draws; None:
            the column "group" of the rows, if they have one.
        strata: (N,) stratum of each item; the bootstrap keeps the sizes of the strata.
        resamples: number of resamples of the bootstrap.
        seed: random seed of the bootstrap.

    Raises:
        DataError: no items, or a confidence outside (0, 1).

    Source: effective number of items: Korn and Graubard, "Confidence intervals for proportions
    with small expected number of positive counts estimated from survey data", Survey Methodology
    24, 1998; mean over groups as a ratio: Cochran, "Sampling techniques", 1977, section 9.

    Example:
        >>> error = Metric.mean("error", True, lambda rows: ~rows["right"])
        >>> estimate(error, Columns({"right": np.arange(10) > 2})).count
        3
    """
    n, groups = len(rows), groups_of(rows) if groups is None else groups
    check_share(0, n, confidence)
    if metric.interval is not None and groups is None:
        return metric.interval(rows, confidence)
    if metric.per_item is None:
        drawn = resampled(
            metric.of_drawn(rows),
            n,
            generator=generator(seed, "bootstrap", metric.name),
            strata=strata,
            groups=groups,
            resamples=resamples,
        )
        return percentile_interval(metric.value(rows), drawn, confidence)
    values = np.asarray(metric.per_item(rows))
    if not len(_defined(values)):
        return Estimate(float("nan"))
    is_share = values.dtype == np.bool_
    if groups is not None:
        keep = ~np.isnan(values.astype(np.float64))
        return _grouped(values[keep], np.asarray(groups)[keep], is_share, confidence, metric.most)
    if is_share:
        return wilson(int(values.sum()), n, confidence=confidence)
    return mean_interval(_defined(values), confidence=confidence, most=metric.most)


def groups_of(rows: Rows) -> Array | None:
    """The group of each item (N,), where rows have a column with two groups or more."""
    groups = rows.columns.get(GROUP) if isinstance(rows, Columns) else None
    return None if groups is None or len(np.unique(groups)) < 2 else np.asarray(groups)


def item_values(metric: Metric, rows: Rows) -> Array:
    """One value an item (N,) whose mean is the metric and whose spread is that of the metric.

    Of a mean over items they are the items' own. Of any other metric they are the jackknife's
    pseudo-values N θ - (N - 1) θ₋ᵢ, where θ₋ᵢ is the metric without item i, moved so that their
    mean is θ.

    Args:
        metric: Metric.
        rows: N items.

    Source: Tukey, "Bias and confidence in not quite large samples", Annals of Mathematical
    Statistics 29, 1958; Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 11.

    Example:
        >>> largest = Metric("largest", False, lambda rows: float(rows["x"].max()))
        >>> item_values(largest, Columns({"x": np.array([1.0, 2.0, 5.0])})).tolist()
        [3.0, 3.0, 9.0]
    """
    if metric.per_item is not None:
        return np.asarray(metric.per_item(rows))
    n, whole, drawn = len(rows), metric.value(rows), metric.of_drawn(rows)
    without = np.array([drawn(np.delete(np.arange(n), i)) for i in range(n)])
    # An item without which the metric is undefined tells nothing of its spread.
    moved = (n - 1) * (whole - np.where(np.isnan(without), whole, without))
    values: Floats = whole + moved - moved.mean()
    return values


def group_influences(values: Array, groups: Array) -> Floats:
    """(G,) by how much each of G groups moves the mean of the items, times G.

    Args:
        values: (N,) one value an item.
        groups: (N,) group of each item.

    Example:
        >>> group_influences(np.array([1.0, 0.0, 0.0, 3.0]), np.array(["a", "a", "a", "b"]))
        array([-1.,  1.])
    """
    values = np.asarray(values, dtype=np.float64)
    _, group = np.unique(groups, return_inverse=True)
    sums = np.bincount(group, weights=values - values.mean())
    return sums * len(sums) / len(values)


def _grouped(
    values: Array, groups: Array, is_share: bool, confidence: float, most: float
) -> Estimate:
    from scipy.special import stdtrit

    mean = float(values.mean())
    influences = group_influences(values, groups)
    count = len(influences)
    if count == 1:
        return Estimate(mean)
    if not is_share:
        least = 0.0 if values.min() >= 0 else -math.inf
        whole = mean_interval(mean + influences, confidence=confidence, least=least, most=most)
        return replace(whole, value=mean)
    variance = float((influences**2).sum()) / (count - 1) / count
    # Where all items are equal, only the groups are known to be independent.
    effective = mean * (1 - mean) / variance if variance > 0 else float(count)
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    return score_interval(mean, min(effective, float(len(values))), quantile**2)


def _defined(values: Array) -> Array:
    values = np.asarray(values)
    return values if values.dtype.kind in "biu" else values[~np.isnan(values)]
