"""The calibration of a finished run, fitted anew."""

from pathlib import Path
from typing import Any

from striate.api.run import Run
from striate.errors import RunError

__all__ = ["calibrate"]


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
    if not opened.is_finished or not opened.folder.answers.is_file():
        raise RunError(
            f"{opened.path} has no validation predictions: its training has not ended. "
            f"Go on with: striate resume {opened.path}"
        )
    return opened.task.calibrate(opened.folder, classwise=classwise)
