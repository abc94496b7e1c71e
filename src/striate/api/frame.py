"""The beginning and the end of every training, of a network or of a classical predictor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.api.report import write_report
from striate.api.run import data_of, recorded_fields
from striate.classical import PREDICTORS
from striate.config import RunConfig
from striate.data import Dataset, Normalisation, Source, prepare, refuse_leaks
from striate.data.field import Field
from striate.errors import RunError
from striate.evaluation import Columns, Predictions, save_predictions
from striate.execution import Execution
from striate.run_folder import RunFolder
from striate.tasks import DataShape, Task
from striate.terminal import Reporter
from striate.training.assemble import build_task
from striate.training.planner import Decision


def fields_of(config: RunConfig, source: Source) -> dict[str, Field] | None:
    """The fields that the task of a configuration reads from a source; None: classes alone.

    Raises:
        DataError: the source lacks one of them.
    """
    if config.network.name in PREDICTORS:
        return None
    task = build_task(config)
    # Classes alone are known from the cache, without listing the source.
    return None if task.needs == ("image", "category") else task.fields(source)


def decoded_images(config: RunConfig, source: Source, reporter: Reporter) -> Dataset:
    """The images of a source with the fields of the configuration's task, decoded once.

    Raises:
        DataError.
    """
    fields = fields_of(config, source)
    return prepare(config.data, source=source, fields=fields, progress=reporter.progress)


def training_images(config: RunConfig, source: Source, reporter: Reporter) -> Dataset:
    """The images to train on, decoded, with a word to the person about what is unusual.

    Raises:
        DataError, LeakError.
    """
    dataset = decoded_images(config, source, reporter)
    refuse_leaks(config.data, dataset)
    for note in dataset.notes:
        reporter.say(note)
    return dataset


def same_images(
    folder: RunFolder, config: RunConfig, moved_to: str | Path | None, reporter: Reporter
) -> Dataset:
    """The images that a run began with.

    Raises:
        RunError: they are gone or have changed.
    """
    record = folder.record()
    known = record["data"]
    dataset = data_of(config, moved_to, folder.path, reporter, recorded_fields(record))
    if (dataset.digest, dataset.test.digest) != (known["digest"], known["test_digest"]):
        raise RunError(
            f"The images of {dataset.source}, or how they are divided, have changed since "
            f"{folder.path} began; a resumed training would not be the same. Restore them, or "
            "train anew."
        )
    return dataset


def describe(
    config: RunConfig,
    choices: list[Decision],
    data: Dataset,
    *,
    normalise: Normalisation,
    num_parameters: int,
    execution: Execution,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of run.json before the training begins."""
    return {
        "hash": config.hash,
        "config": config.to_json(),
        "choices": [{"what": c.what, "value": c.value, "why": c.why} for c in choices],
        "data": {"title": data.title, **data.describe()},
        "normalisation": {"mean": normalise.mean, "std": normalise.std},
        "num_parameters": num_parameters,
        "hardware": execution.describe(),
        "execution": execution.to_json(),
        **({"facts": dict(facts)} if facts else {}),
    }


def conclude(folder: RunFolder, data: Dataset, rows: Columns, task: Task, shape: DataShape) -> None:
    """Write the validation predictions, their calibration, and the report.

    What is there already, whole, stays: a resume may be the repair of one file.

    Args:
        folder: Folder of the run.
        data: Data that it was trained on.
        rows: Rows of the validation split, before calibration.
        task: Task that was trained for.
        shape: Shape of the data.
    """
    split = data.validation
    if not folder.is_whole(folder.predictions):
        save_predictions(folder.predictions, Predictions(rows, split.digests, split.names))
    if not folder.is_whole(folder.calibration):
        task.finish(folder)
    if not (folder.is_whole(folder.figures) and folder.is_whole(folder.report)):
        write_report(folder, data, task, shape)
