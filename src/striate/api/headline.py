"""The number that studies judge runs by: the first metric of the task, on the validation split."""

import math

import numpy as np

from striate.api.run import Run
from striate.config import RunConfig
from striate.data import Dataset
from striate.evaluation import (
    Columns,
    Estimate,
    Metric,
    Proportion,
    estimate,
    load_predictions,
    percent,
)
from striate.training.assemble import build_task, data_shape


def headline_metric(run: Run) -> Metric:
    """The first metric of a run's task."""
    return run.task.meter(run.shape).metrics[0]


def planned_metric(config: RunConfig, data: Dataset) -> Metric:
    """The first metric of the task of a configuration that was not trained yet."""
    return build_task(config).meter(data_shape(config, data.fields)).metrics[0]


def headline(run: Run, *, confidence: float = 0.95) -> Estimate | Proportion:
    """The headline metric of a finished run on its validation split, with its interval."""
    rows = load_predictions(run.folder.predictions).rows
    return estimate(headline_metric(run), rows, confidence=confidence)


def rows_by_digest(run: Run) -> Columns:
    """The validation rows of a finished run in the order of the images' digests."""
    predictions = load_predictions(run.folder.predictions)
    return predictions.rows.take(np.argsort(predictions.digests, kind="stable"))


def validation_loss(run: Run) -> float | None:
    """The validation loss, which ranks runs of equal headlines; None where none is finite."""
    loss = getattr(run.validation, "negative_log_likelihood", None)
    return None if loss is None or not math.isfinite(loss.value) else float(loss.value)


def is_share(run: Run) -> bool:
    """Whether the headline metric of a run's task is a share of items."""
    return isinstance(headline(run), Proportion)


def format_metric(value: float | None, share: bool = True) -> str:
    """A value of the headline metric for people: a share of items in percent."""
    if value is None:
        return "–"
    return f"{percent(value)} %" if share else f"{value:.4g}"
