"""A classifier's calibration, fitted on its validation predictions, and abstention."""

from functools import partial
from typing import Any

import numpy as np

from striate import digests
from striate.errors import DataError, RunError, command_line
from striate.evaluation import (
    ClassificationMetrics,
    Scaling,
    abstention,
    crossfitted,
    fit_temperature,
    fit_vector,
    load_predictions,
    measure,
    risk_coverage,
    wilson,
)
from striate.evaluation.classification.loss import losses_of_items
from striate.evaluation.classification.measure import calibration_figures
from striate.evaluation.classification.selective import CoveragePoint
from striate.reading import read_json, reported_as
from striate.run_folder import RunFolder

_PROMISES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
"""Errors that people ask for; a report shows those that its validation images can prove."""
_PENALTIES = (1.0, 0.1, 0.01, 0.001)
"""Penalties of vector scaling: from nearly one temperature to nearly free."""


def fit_calibration(folder: RunFolder, *, classwise: bool = False) -> dict[str, Any]:
    """Fit and keep the calibration of a finished run; what is kept comes back.

    Args:
        folder: Folder of the run, with its validation predictions.
        classwise: A weight and a bias for each class (vector scaling), with the penalty that
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
        "before": _figures(measure(probabilities, labels, names)),
        "after": _figures(measure(crossfitted(fit, probabilities, labels), labels, names)),
    }
    digests.write_json(folder.calibration, value)
    return value


def _vector(penalty: float) -> Any:
    return lambda p, t: fit_vector(p, t, penalty=penalty)


def _held_out(fit: Any, probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(losses_of_items(crossfitted(fit, probabilities, labels), labels)[0].mean())


def _figures(metrics: ClassificationMetrics) -> dict[str, Any]:
    """The two metrics that calibration is about."""
    figures = calibration_figures(metrics)
    return {key: figures[key] for key in ("negative_log_likelihood", "calibration_error")}


def calibration_of(folder: RunFolder) -> tuple[Scaling, dict[str, Any]]:
    """The scaling that calibrates a network's probabilities, and the record of its fit.

    Of runs that never fitted one it changes nothing, and nothing is kept.

    Raises:
        RunError: its file is damaged.
    """
    path = folder.calibration
    again = f"Fit it anew: {command_line('calibrate', folder.path)}"
    digests.require(path, again)
    if not path.is_file():
        return Scaling(), {}
    try:
        with reported_as(RunError, f"{path} cannot be read", again):
            kept = read_json(path)
            return Scaling.from_json(kept), dict(kept)
    except DataError as error:
        raise RunError(f"{path} cannot be read: {error} {again}") from error


def validated(folder: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated validation probabilities (N, K), and labels (N,).

    Each item is calibrated by a fit that has not seen it, so that the fit does not flatter
    what is measured on them.
    """
    rows = load_predictions(folder.predictions).rows
    scaling, kept = calibration_of(folder)
    if scaling == Scaling():
        return rows["probabilities"], rows["labels"]
    fit: Any = fit_temperature
    if scaling.temperature is None:
        penalty = kept.get("penalty")
        fit = fit_vector if penalty is None else partial(fit_vector, penalty=penalty)
    return crossfitted(fit, rows["probabilities"], rows["labels"]), rows["labels"]


def proves(scaling: Scaling) -> bool:
    """Whether the validation predictions that it was fitted to can prove what abstention promises.

    One temperature changes no predicted class and hardly their order. A weight and a bias for each
    class were chosen by these very predictions: then they estimate.
    """
    return scaling.temperature is not None


def promising(
    folder: RunFolder, held_out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Confidences (N,) of the validation predictions, and whether each is right (N,).

    Args:
        folder: Folder of the run.
        held_out: Result of `validated`, where it is known; it is taken where the calibration
            proves nothing.
    """
    rows = load_predictions(folder.predictions).rows
    scaling, _ = calibration_of(folder)
    if proves(scaling):
        p = scaling(rows["probabilities"])
    else:
        p = validated(folder)[0] if held_out is None else held_out
    return p.max(axis=1), p.argmax(axis=1) == rows["labels"]


def calibration_part(
    folder: RunFolder, class_names: tuple[str, ...], after: ClassificationMetrics, split: str
) -> dict[str, Any] | None:
    """Calibration before and after its fit on the split that is shown; None where none was fitted.

    Args:
        folder: Folder of the run.
        class_names: Names of the K classes.
        after: Metrics of calibrated probabilities that the report shows.
        split: "test" or "validation".
    """
    _, kept = calibration_of(folder)
    if not kept:
        return None
    rows = load_predictions(folder.test_predictions if split == "test" else folder.predictions).rows
    before = measure(rows["probabilities"], rows["labels"], class_names)
    return {
        "method": kept["method"],
        "temperature": kept["temperature"],
        "fitted_on": kept["n"],
        "note": kept.get("note"),
        "split": split,
        "before": calibration_figures(before),
        "after": calibration_figures(after),
    }


def selective_part(
    folder: RunFolder, held_out: np.ndarray, shown: np.ndarray, labels: np.ndarray, split: str
) -> dict[str, Any]:
    """The error among the predictions against their share, and thresholds with their promises.

    Args:
        folder: Folder of the run; thresholds come from its validation predictions.
        held_out: Probabilities (N, K) of `validated`.
        shown: Calibrated probabilities (N, K) of the split that is shown.
        labels: Labels (N,) of that split.
        split: "test" or "validation".
    """
    sure, right = promising(folder, held_out)
    confidence, correct = shown.max(axis=1), shown.argmax(axis=1) == labels
    thresholds = []
    for error in _PROMISES:
        try:
            promise = abstention(sure, right, error)
        except DataError:
            break
        values = promise.to_json()
        if split == "test":
            kept = confidence >= promise.threshold
            count = int(kept.sum())
            share = wilson(int((~correct[kept]).sum()), count) if count else None
            values["test"] = {
                "coverage": count / len(kept),
                "error": share.to_json() if share else None,
            }
        thresholds.append(values)
        if promise.coverage <= 1 / 16:
            break
    # Where everything may be predicted, the smallest such error is enough.
    whole = [values for values in thresholds if values["coverage"] == 1]
    thresholds = [values for values in thresholds if values not in whole[:-1]]
    curve: list[CoveragePoint] = risk_coverage(confidence, correct)
    return {
        "split": split,
        "n": len(labels),
        "curve": [point.to_json() for point in curve],
        "thresholds": thresholds,
        "proved": proves(calibration_of(folder)[0]),
    }
