"""The number by which studies compare runs: the task's first metric, on the validation split."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.api.run import Run
from striate.evaluation import (
    Columns,
    Estimate,
    Metric,
    Proportion,
    estimate,
    item_values,
    load_predictions,
)


def headline_metric(run: Run) -> Metric:
    """The first metric of a run's task."""
    return run.task.meter(run.shape).metrics[0]


def headline(run: Run, *, confidence: float = 0.95) -> Estimate | Proportion:
    """The headline metric of a finished run on its validation split, with its interval."""
    rows = load_predictions(run.folder.predictions).rows
    return estimate(headline_metric(run), rows, confidence=confidence)


def rows_by_digest(run: Run) -> Columns:
    """The validation rows of a finished run in the order of the images' digests."""
    predictions = load_predictions(run.folder.predictions)
    return predictions.rows.take(np.argsort(predictions.digests, kind="stable"))


def per_item(run: Run, paths: Sequence[Path]) -> np.ndarray:
    """The headline metric's value of each item (K, N), in K files of predictions of one split.

    Items for which it is undefined are left out.

    Args:
        run: Run whose task has the metric.
        paths: Files of predictions of that task.
    """
    metric = headline_metric(run)
    values = np.stack([item_values(metric, load_predictions(path).rows) for path in paths])
    defined: np.ndarray = values[:, ~np.isnan(values.astype(np.float64)).any(axis=0)]
    return defined


def validation_loss(run: Run) -> float | None:
    """The validation loss, which ranks runs of equal headlines; None where none is finite."""
    loss = getattr(run.validation, "negative_log_likelihood", None)
    return None if loss is None or not math.isfinite(loss.value) else float(loss.value)
