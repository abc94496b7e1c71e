"""Predictions of other systems: the metrics, comparison and calibration that our own have."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate import durable
from striate.errors import ConfigError
from striate.evaluation import (
    ClassificationMetrics,
    crossfitted,
    fit_temperature,
    measure,
    percent,
    risk_coverage,
    summary_lines,
    table_lines,
)
from striate.evaluation.classification.comparison import (
    ClassifierComparison,
    compare_classifiers,
    disagreements,
)
from striate.evaluation.classification.measure import calibration_figures, measure_predictions
from striate.evaluation.classification.prediction_file import read_table
from striate.evaluation.classification.prediction_match import Matched, match
from striate.evaluation.classification.report import comparison_page
from striate.typed_json import encode


@dataclass(frozen=True)
class ExternalMetrics:
    """Metrics of one system or more on the same items, and how they compare."""

    names: tuple[str, ...]
    metrics: tuple[ClassificationMetrics, ...]
    comparison: ClassifierComparison | None
    """None for one system."""
    calibrations: tuple[dict[str, Any] | None, ...]
    """For each system with probabilities: the temperature that would calibrate them, and its
    effect on items that it was not fitted on."""
    disagreements: tuple[dict[str, Any], ...]
    selective: dict[str, Any] | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The metrics as JSON values."""
        return {
            "names": list(self.names),
            "split": "items",
            "n": self.metrics[0].n,
            "measures": encode(self.metrics),
            **({} if self.comparison is None else self.comparison.to_json()),
            "calibrations": list(self.calibrations),
            "disagreements": list(self.disagreements),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The comparison (of one system, its metrics) and calibrations, for a terminal."""
        if self.comparison is None:
            lines = summary_lines(self.metrics[0])
        else:
            lines = [*table_lines(self.names, self.metrics), *self.comparison.lines()]
        fits = zip(self.names, self.calibrations, strict=True)
        return lines + [
            f"{name}: a temperature of {fit['temperature']:.3g} would change the calibration "
            f"error from {percent(fit['before']['calibration_error']['value'])} to "
            f"{percent(fit['after']['calibration_error']['value'])} % (on folds it was not fitted "
            "on)"
            for name, fit in fits
            if fit is not None
        ]

    def write(self, page: Path) -> None:
        """Write the HTML page."""
        shown = {
            **self.to_json(),
            "calibration": self.calibrations[0] if len(self.names) == 1 else None,
            "selective": self.selective,
            "disagreements": [{**d, "image": None} for d in self.disagreements[:60]],
        }
        durable.write_bytes(page, comparison_page(shown, "Items on which they disagree").encode())


def measure_files(
    predictions: Sequence[str | Path], truth: str | Path, *, extra_classes: Sequence[str] = ()
) -> ExternalMetrics:
    """Measure files of predictions against a file of truths, and compare them with one another.

    Args:
        predictions: Files, one or more, each with ids and classes or probabilities.
        truth: File with ids and labels.
        extra_classes: Further classes, though no item of the truth is of them.

    Raises:
        ConfigError: no file of predictions.
        DataError: files that cannot be read or do not fit together.
    """
    if not predictions:
        raise ConfigError("Give at least one file of predictions: --predictions FILE")
    tables = [read_table(Path(path)) for path in predictions]
    ids, target, classes, systems = match(read_table(Path(truth)), tables, extra_classes)
    metrics = tuple(_measured(system, target, classes) for system in systems)
    names = tuple(system.name for system in systems)
    comparison: ClassifierComparison | None = None
    mixed: dict[int, dict[str, Any]] = {}
    if len(systems) > 1:
        predicted = np.stack([system.predicted for system in systems])
        rows = [s.probabilities for s in systems if s.probabilities is not None]
        p = np.stack(rows) if len(rows) == len(systems) else None
        comparison = compare_classifiers(predicted, target, names, probabilities=p)
        sure = [None if s.probabilities is None else s.probabilities.max(axis=1) for s in systems]
        mixed = disagreements(
            predicted, target, names, classes=classes, items=ids, confidences=sure
        )
    return ExternalMetrics(
        names,
        metrics,
        comparison,
        tuple(_calibration(system, m, target) for system, m in zip(systems, metrics, strict=True)),
        tuple(mixed.values()),
        _selective(systems[0], target) if len(systems) == 1 else None,
        tuple(note for system in systems for note in system.notes),
    )


def _measured(system: Matched, target: np.ndarray, classes: Sequence[str]) -> ClassificationMetrics:
    if system.probabilities is None:
        return measure_predictions(system.predicted, target, classes)
    return measure(system.probabilities, target, classes)


def _calibration(
    system: Matched, before: ClassificationMetrics, target: np.ndarray
) -> dict[str, Any] | None:
    if system.probabilities is None:
        return None
    scaling = fit_temperature(system.probabilities, target)
    calibrated = crossfitted(fit_temperature, system.probabilities, target)
    return {
        "method": "temperature",
        "temperature": scaling.temperature,
        "fitted_on": len(target),
        "note": None,
        "split": "given",  # nothing was divided; it says what a temperature would do
        "before": calibration_figures(before),
        "after": calibration_figures(measure(calibrated, target, before.class_names)),
    }


def _selective(system: Matched, target: np.ndarray) -> dict[str, Any] | None:
    if system.probabilities is None:
        return None
    curve = risk_coverage(system.probabilities.max(axis=1), system.predicted == target)
    return {"split": "items", "n": len(target), "curve": encode(curve), "thresholds": None}
