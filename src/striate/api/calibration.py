"""The calibration of a finished run, fitted anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.api.run import Run
from striate.evaluation import percent


def calibration_lines(fit: Mapping[str, Any]) -> list[str]:
    """The fit that `calibrate` returns, as lines for a terminal."""
    if "lines" in fit:
        return list(fit["lines"])
    kind = fit["method"]
    if fit["temperature"] is not None:
        kind = f"temperature {fit['temperature']:.3g}"
    lines = [f"{kind}, fitted on {fit['n']:,} images"]
    for when in ("before", "after"):
        error, loss = fit[when]["calibration_error"], fit[when]["negative_log_likelihood"]
        value, low, high = (percent(error[key]) for key in ("value", "low", "high"))
        lines.append(
            f"{when}: calibration error {value} % [{low}, {high}], "
            f"negative log-likelihood {loss['value']:.4f}"
        )
    note = [fit["note"]] if fit["note"] else []
    return [*lines, *note, "After: each fifth of the validation images by a fit on the other four."]


def calibrate(run: Run | str | Path, *, classwise: bool = False) -> dict[str, Any]:
    """Fit the calibration of a run anew, on its validation predictions; no training, no test split.

    Args:
        run: Finished run.
        classwise: A weight and a bias for each class, where it predicts held-out folds better.

    Raises:
        RunError: the task has nothing to calibrate, the training has not ended, or its
            predictions are missing.
    """
    opened = run if isinstance(run, Run) else Run(run)
    opened.folder.require(opened.folder.weights)
    opened.folder.require(opened.folder.predictions)
    return opened.task.calibrate(opened.folder, classwise=classwise)
