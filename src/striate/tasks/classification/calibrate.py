"""A run's calibration: fitted on its validation predictions, kept beside its weights."""

from typing import Any

import numpy as np

from striate import durable
from striate.evaluation import ClassificationMetrics, measure
from striate.evaluation.classification.loss import losses_of_items
from striate.evaluation.classification.measure import calibration_figures
from striate.evaluation.classification.temperature import crossfitted, fit_temperature, fit_vector
from striate.evaluation.stored import load_predictions
from striate.run_folder import RunFolder

_PENALTIES = (1.0, 0.1, 0.01, 0.001)
"""Of vector scaling: from nearly one temperature to nearly free."""


def fit_calibration(folder: RunFolder, *, classwise: bool = False) -> dict[str, Any]:
    """Fit and keep the calibration of a finished run; what is kept comes back.

    Args:
        folder: of the run; its validation answers are there.
        classwise: a weight and a bias for each class (vector scaling), with the penalty that
            predicts held-out folds best, where it does so better than one temperature.

    Raises:
        RunError: the training has not ended.
    """
    rows = load_predictions(folder.predictions).rows
    probabilities, labels = rows["probabilities"], rows["labels"]
    fit, method, note, penalty = fit_temperature, "temperature", None, None
    if classwise:
        trials = {p: _vector(p) for p in _PENALTIES}
        losses = {p: _held_out(trial, probabilities, labels) for p, trial in trials.items()}
        best = min(losses, key=losses.__getitem__)
        plain = _held_out(fit_temperature, probabilities, labels)
        if losses[best] < plain:
            fit, method, penalty = trials[best], "vector scaling", best
            note = f"held-out loss {losses[best]:.4f} against {plain:.4f} of one temperature"
        else:
            note = (
                f"one temperature was kept: held-out loss {plain:.4f} against {losses[best]:.4f} "
                "with a weight and a bias for each class"
            )
    scaling = fit(probabilities, labels)
    names = [str(k) for k in range(probabilities.shape[1])]
    value = {
        "format": 1,
        "method": method,
        **scaling.to_json(),
        "penalty": penalty,
        "n": len(labels),
        "note": note,
        "before": _told(measure(probabilities, labels, names)),
        "after": _told(measure(crossfitted(fit, probabilities, labels), labels, names)),
    }
    durable.write_json(folder.calibration, value)
    return value


def _vector(penalty: float) -> Any:
    return lambda p, t: fit_vector(p, t, penalty=penalty)


def _held_out(fit: Any, probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(losses_of_items(crossfitted(fit, probabilities, labels), labels)[0].mean())


def _told(metrics: ClassificationMetrics) -> dict[str, Any]:
    """The two metrics that calibration is about."""
    figures = calibration_figures(metrics)
    return {key: figures[key] for key in ("negative_log_likelihood", "calibration_error")}
