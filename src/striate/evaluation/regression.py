"""Metrics of predicted numbers, MAE, RMSE and R², beside those of a constant; their charts."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from striate.evaluation.chart import Series, line_chart
from striate.evaluation.metric import Columns, Metric
from striate.evaluation.report import Section

_SHOWN = 500
"""Points of a chart at most: more would hide each other."""


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


def _item_errors(rows: Columns) -> np.ndarray:
    """The mean absolute error of each item (N,) over its targets, nan where all are missing."""
    errors = np.ma.masked_invalid(np.abs(rows["predicted value"] - rows["value"]))
    found: np.ndarray = errors.mean(axis=1).filled(np.nan)
    return found


def _of_target(prefix: str, t: int, mean: float, median: float) -> tuple[Metric, ...]:
    """The metrics of one target, y its true and p its predicted values."""

    def each(name: str, value: Callable[..., np.ndarray], *, lower: bool = True) -> Metric:
        return Metric.mean(prefix + name, lower, lambda rows: value(*_pair(rows, t)))

    def whole(name: str, value: Callable[..., float], *, lower: bool = True) -> Metric:
        return Metric(prefix + name, lower, lambda rows: value(*_known(*_pair(rows, t))))

    return (
        each("MAE", lambda y, p: abs(p - y)),
        whole("RMSE", lambda y, p: _root_mean_square(p - y)),
        whole("R²", _explained, lower=False),
        each("MAE of the training median", lambda y, p: abs(median - y)),
        whole("RMSE of the training mean", lambda y, p: _root_mean_square(mean - y)),
        each(
            "MAE less than the median's by", lambda y, p: abs(median - y) - abs(p - y), lower=False
        ),
    )


def _pair(rows: Columns, t: int) -> tuple[np.ndarray, np.ndarray]:
    return rows["value"][:, t], rows["predicted value"][:, t]


def _known(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(y)
    return y[known], p[known]


def _root_mean_square(values: np.ndarray) -> float:
    return math.sqrt((values**2).mean()) if len(values) else math.nan


def _explained(y: np.ndarray, p: np.ndarray) -> float:
    """One less the squared errors as a share of the squared distances from the mean of y."""
    spread = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    return 1 - float(((p - y) ** 2).sum()) / spread if spread > 0 else math.nan


def value_section(rows: Columns, names: Sequence[str]) -> Section:
    """The chart of truth and prediction of each target, and a summary of its errors."""
    parts = []
    for t, name in enumerate(names):
        y, p = _known(*_pair(rows, t))
        if not len(y):
            continue
        shown = np.unique(np.linspace(0, len(y) - 1, min(_SHOWN, len(y))).astype(int))
        ends = min(y.min(), p.min()), max(y.max(), p.max())
        series = [
            Series("equal", "soft", [(e, e) for e in ends]),
            Series(
                name, "accent", list(zip(y[shown], p[shown], strict=True)), dots=True, line=False
            ),
        ]
        chart = line_chart(
            series, x_label=f"true {name}", y_label=f"predicted {name}", x_range=ends, y_log=False
        )
        low, middle, high = np.quantile(p - y, [0.05, 0.5, 0.95])
        words = (
            f"{name}: prediction less truth is {(p - y).mean():+.4g} in the mean, {middle:+.4g} in "
            f"the median, {low:+.4g} to {high:+.4g} for 90 % of the {len(y):,} images, and "
            f"{(p - y)[abs(p - y).argmax()]:+.4g} where it is largest; "
            f"{len(rows) - len(y):,} images have no true value."
        )
        parts.append(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(chart, words))
    return Section("Truth and prediction", Markup("").join(parts))
