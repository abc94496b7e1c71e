"""What a report says beyond the measures: calibration before and after, and abstention."""

import json
from functools import partial
from typing import Any

import numpy as np

from striate.errors import DataError
from striate.evaluation import (
    CoveragePoint,
    Measures,
    Scaling,
    abstention,
    crossfitted,
    fit_temperature,
    fit_vector,
    load_answers,
    measure,
    risk_coverage,
    wilson,
)
from striate.training.folder import RunFolder

__all__ = ["calibration_part", "proving", "selective_part", "validated"]

_PROMISES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
"""Errors that people ask for; a report shows those that its validation images can prove."""


def validated(folder: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated validation probabilities (N, K), and labels (N,).

    Each item is calibrated by a fit that has not seen it, so that the fit does not flatter
    what is measured on them.
    """
    answers = load_answers(folder.answers)
    scaling = _scaling(folder)
    if scaling == Scaling():
        return answers.probabilities, answers.labels
    fit: Any = fit_temperature
    if scaling.temperature is None:
        kept = json.loads(folder.calibration.read_text("utf-8")).get("penalty")
        fit = fit_vector if kept is None else partial(fit_vector, penalty=kept)
    return crossfitted(fit, answers.probabilities, answers.labels), answers.labels


def proving(folder: RunFolder) -> tuple[np.ndarray, np.ndarray, bool]:
    """Confidences (N,) of validation answers, whether they are right, and whether that proves.

    One temperature changes no answer and orders them nearly as they were. A weight and a bias
    for each class were chosen by these very answers: then each is taken from a fit without it,
    and what follows is an estimate.
    """
    answers = load_answers(folder.answers)
    scaling = _scaling(folder)
    proves = scaling.temperature is not None
    p = scaling(answers.probabilities) if proves else validated(folder)[0]
    return p.max(axis=1), p.argmax(axis=1) == answers.labels, proves


def calibration_part(
    folder: RunFolder, class_names: tuple[str, ...], after: Measures, split: str
) -> dict[str, Any] | None:
    """Calibration before and after its fit on the split that is shown; None where none was fitted.

    Args:
        folder: of the run.
        class_names: K names.
        after: the measures of calibrated probabilities that the report shows.
        split: "test" or "validation".
    """
    if not folder.calibration.is_file():
        return None
    kept = json.loads(folder.calibration.read_text("utf-8"))
    stored = load_answers(folder.test_answers if split == "test" else folder.answers)
    before = measure(stored.probabilities, stored.labels, class_names)
    return {
        "method": kept["method"],
        "temperature": kept["temperature"],
        "fitted_on": kept["n"],
        "note": kept.get("note"),
        "split": split,
        "before": _shown(before),
        "after": _shown(after),
    }


def selective_part(
    folder: RunFolder, shown: np.ndarray, labels: np.ndarray, split: str
) -> dict[str, Any]:
    """The error among the answers against their share, and thresholds with their promises.

    Args:
        folder: of the run; thresholds come from its validation answers.
        shown: (N, K) calibrated probabilities of the split that is shown.
        labels: (N,) its truths.
        split: "test" or "validation".
    """
    sure, right, proves = proving(folder)
    confidence, correct = shown.max(axis=1), shown.argmax(axis=1) == labels
    thresholds = []
    for error in _PROMISES:
        try:
            found = abstention(sure, right, error)
        except DataError:
            break
        told = found.to_json()
        if split == "test":
            kept = confidence >= found.threshold
            count = int(kept.sum())
            share = wilson(int((~correct[kept]).sum()), count) if count else None
            told["test"] = {
                "coverage": count / len(kept),
                "error": share.to_json() if share else None,
            }
        thresholds.append(told)
        if found.coverage < 1 and found.coverage <= 1 / 16:
            break
    # Where everything may be answered, the smallest such error says it all.
    whole = [told for told in thresholds if told["coverage"] == 1]
    thresholds = [told for told in thresholds if told not in whole[:-1]]
    curve: list[CoveragePoint] = risk_coverage(confidence, correct)
    return {
        "split": split,
        "n": len(labels),
        "curve": [point.to_json() for point in curve],
        "thresholds": thresholds,
        "proved": proves,
    }


def _scaling(folder: RunFolder) -> Scaling:
    if not folder.calibration.is_file():
        return Scaling()
    return Scaling.from_json(json.loads(folder.calibration.read_text("utf-8")))


def _shown(measures: Measures) -> dict[str, Any]:
    told = measures.to_json()
    return {
        key: told[key]
        for key in (
            "negative_log_likelihood",
            "brier_score",
            "calibration_error",
            "calibration_by_chance",
            "reliability",
        )
    }
