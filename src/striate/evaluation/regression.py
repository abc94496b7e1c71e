"""Metrics of predicted numbers, MAE, RMSE and R², beside those of a constant; their section."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from striate.evaluation.chart import pair_figure
from striate.evaluation.metric import Columns, Metric
from striate.evaluation.report import Section


def value_metrics(
    names: Sequence[str], mean: Sequence[float], median: Sequence[float]
) -> tuple[Metric, ...]:
    """The metrics of rows with the columns "value" and "predicted value", (N, T) each.

    A value of nan is missing and counts for nothing. The first metric is the mean absolute error,
    of several targets the mean of all errors of an item.

    Args:
        names: Names of the T targets.
        mean: Means of the training split: the constants with the least RMSE.
        median: Medians of the training split: the constants with the least MAE.
    """
    if len(names) == 1:
        return _of_target("", 0, mean[0], median[0])
    metrics = [Metric.mean("MAE", True, _item_errors)]
    for t, name in enumerate(names):
        metrics += _of_target(f"{name}: ", t, mean[t], median[t])
    return tuple(metrics)


def _column(rows: Columns, name: str, t: int | slice = slice(None)) -> np.ndarray:
    return np.asarray(rows[name], dtype=np.float64)[:, t]


def _item_errors(rows: Columns) -> np.ndarray:
    """The mean absolute error of each item (N,) over its targets, nan where all are missing."""
    errors = np.abs(_column(rows, "predicted value") - _column(rows, "value"))
    means: np.ndarray = np.ma.masked_invalid(errors).mean(axis=1).filled(np.nan)
    return means


def _of_target(prefix: str, t: int, mean: float, median: float) -> tuple[Metric, ...]:
    def errors(rows: Columns) -> Any:
        return np.abs(_column(rows, "predicted value", t) - _column(rows, "value", t))

    def of_median(rows: Columns) -> Any:
        return np.abs(median - _column(rows, "value", t))

    def gain(rows: Columns) -> Any:
        return of_median(rows) - errors(rows)

    def squares(rows: Columns) -> Any:
        """(N, 4): known or not, the distance from the mean, its square, the squared error."""
        far = _column(rows, "value", t) - mean
        return np.nan_to_num(np.stack([~np.isnan(far), far, far**2, errors(rows) ** 2], axis=1))

    def explained(sums: np.ndarray) -> float:
        spread = sums[2] - sums[1] ** 2 / max(1.0, sums[0])
        return 1 - _ratio(sums[3], spread if spread > 1e-12 * sums[2] else 0.0)

    def root(number: int) -> Callable[[np.ndarray], float]:
        return lambda sums: _ratio(sums[number], sums[0]) ** 0.5

    return (
        Metric.mean(prefix + "MAE", True, errors),
        Metric.pooled(prefix + "RMSE", True, squares, root(3)),
        Metric.pooled(prefix + "R²", False, squares, explained),
        Metric.mean(prefix + "MAE of the training median", True, of_median),
        Metric.pooled(prefix + "RMSE of the training mean", True, squares, root(2)),
        Metric.mean(prefix + "gain in MAE over the median", False, gain),
    )


def _ratio(sum_: float, by: float) -> float:
    return float(sum_ / by) if by > 0 else math.nan


def value_section(rows: Columns, names: Sequence[str]) -> Section:
    """The chart of truth and prediction of each target, and a summary of its errors."""
    pairs = zip(names, rows["value"].T.tolist(), rows["predicted value"].T.tolist(), strict=True)
    figures = [pair_figure(truth, predicted, name) for name, truth, predicted in pairs]
    return Section("Truth and prediction", Markup("").join(figures))
