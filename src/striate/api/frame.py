"""The beginning and the end that all trainings share, by gradient steps or in one piece."""

from pathlib import Path
from typing import Any

from striate.api.calibration import fit_calibration
from striate.api.report import write_report
from striate.api.run import data_of
from striate.config import RunConfig
from striate.data import Dataset, Normalisation, Source, prepare, refuse_leaks
from striate.errors import RunError
from striate.evaluation import StoredAnswers, save_answers
from striate.evaluation.metric import Scores
from striate.execution import Execution
from striate.terminal import Reporter
from striate.training.folder import RunFolder
from striate.training.planner import Choice

__all__ = ["conclude", "describe", "same_images", "training_images"]


def training_images(config: RunConfig, source: Source, reporter: Reporter) -> Dataset:
    """The images to train on, decoded; what a person should know of them is said.

    Raises:
        DataError, LeakError.
    """
    found = prepare(config.data, source=source, progress=reporter.progress)
    refuse_leaks(config.data, found)
    for note in found.notes:
        reporter.say(note)
    return found


def same_images(
    folder: RunFolder, config: RunConfig, moved_to: str | Path | None, reporter: Reporter
) -> Dataset:
    """The images that a run began with.

    Raises:
        RunError: they are gone or have changed.
    """
    found = data_of(config, moved_to, folder.path, reporter)
    known = folder.record()["data"]
    if (found.digest, found.test.digest) != (known["digest"], known["test_digest"]):
        raise RunError(
            f"The images of {found.source}, or how they are divided, have changed since "
            f"{folder.path} began; a resumed training would not be the same. Restore them, or "
            "train anew."
        )
    return found


def describe(
    config: RunConfig,
    choices: list[Choice],
    data: Dataset,
    *,
    normalise: Normalisation,
    num_parameters: int,
    execution: Execution,
) -> dict[str, Any]:
    """The content of run.json before the training begins."""
    return {
        "hash": config.hash,
        "config": config.to_json(),
        "choices": [{"what": c.what, "value": c.value, "why": c.why} for c in choices],
        "data": {"title": data.title, **data.describe()},
        "class_names": list(data.class_names),
        "normalisation": {"mean": normalise.mean, "std": normalise.std},
        "num_parameters": num_parameters,
        "hardware": execution.describe(),
        "execution": execution.to_json(),
    }


def conclude(folder: RunFolder, data: Dataset, scores: Scores) -> None:
    """Write the validation predictions, their calibration, and the report.

    Args:
        folder: Folder of the run.
        data: Data that it was trained on.
        scores: Scores of the validation split, as they were predicted.
    """
    split = data.validation
    rows: Any = scores.rows
    answers = StoredAnswers(rows["probabilities"], rows["labels"], split.digests, split.names)
    save_answers(folder.answers, answers)
    fit_calibration(folder)
    write_report(folder, data)
