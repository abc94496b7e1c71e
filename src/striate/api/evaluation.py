"""Finished runs measured on their sealed test split; each opening is written down first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.api.report import OpenedTest, log_notes, write_report
from striate.api.run import Run, data_of
from striate.data import Dataset, ImageSet
from striate.data.seal import Opening
from striate.errors import RunError
from striate.evaluation import (
    Columns,
    Predictions,
    Reading,
    adjusted_reading,
    load_predictions,
    open_test_for,
    opened,
    openings,
    receipts_of,
    record_result,
    save_predictions,
    until_result,
    verify,
)
from striate.evaluation.resemblance import keep_images, resembling
from striate.terminal import Reporter


@dataclass(frozen=True)
class Evaluation:
    """The figures of a run on the test split, and the number of the opening."""

    run: "Run"
    metrics: Any
    """Figures of the task; of classification, its `ClassificationMetrics`."""
    opening: int
    findings: tuple[str, ...]
    """Signs that the ledger was altered; empty when it is sound."""
    report: Path
    reading: Reading | None = None
    """Result as it must be read after so many openings."""
    notes: tuple[str, ...] = ()
    """Sentences about opened test splits that hold images of this one."""


def evaluate(
    run: Run | str | Path, *, data: str | Path | None = None, reporter: Reporter | None = None
) -> Evaluation:
    """Measure a finished run on its sealed test split; see `Run.evaluate`."""
    return evaluate_runs([run], data=data, reporter=reporter)[0]


def evaluate_runs(
    runs: Sequence[Run | str | Path],
    *,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
) -> list[Evaluation]:
    """Measure finished runs on one sealed test split; all of them are one opening.

    The list is fixed, and every run is read, before the split is opened.

    Args:
        runs: Runs of one test split.
        data: Path where the images lie now, if they were moved.
        reporter: Receives what happens; None: nobody.

    Raises:
        RunError: a training has not ended, the data have changed since, or the runs have
            different test splits.
        LedgerError: the ledger cannot be written; the split stays closed.
    """
    loaded = [run if isinstance(run, Run) else Run(run) for run in runs]
    reporter = reporter or Reporter()
    for run in loaded:
        _read(run)
        for note in (*run.notes, *log_notes(run.folder)):
            reporter.say(note)
    datasets = _checked(loaded, data, reporter)
    digest = datasets[0].test.digest
    issued = open_test_for(datasets[0].test, [(run.hash, run.path) for run in loaded])
    opening = issued[0]
    with until_result(opening):
        results = [
            _evaluated(run, dataset.test.read(one), opening, reporter)
            for run, dataset, one in zip(loaded, datasets, issued, strict=True)
        ]
        reporter.close()
        headlines = [test.figures.headline() for test, _ in results]
        record_result(opening, headlines[0] | ({"runs": headlines} if len(headlines) > 1 else {}))
    images = results[0][0].images
    notes = tuple(each.sentence() for each in resembling(digest, images))
    keep_images(digest, images)
    evaluations = []
    for run, dataset, (test, predictions) in zip(loaded, datasets, results, strict=True):
        save_predictions(run.folder.test_predictions, predictions)
        findings = verify(digest, receipts_of(run.path)).findings
        write_report(run.folder, dataset, run.task, run.shape, test._replace(notes=notes))
        reading = adjusted_reading(openings(digest), opened(digest), test.figures.headline())
        evaluations.append(
            Evaluation(run, test.figures, opening.number, findings, run.report_path, reading, notes)
        )
    return evaluations


def _read(run: Run) -> None:
    """Read all files of a run that an evaluation needs.

    Raises:
        RunError: the training has not ended, or a file is damaged.
    """
    run._model  # noqa: B018 - the weights are read
    columns: Any = load_predictions(run.folder.predictions).rows.columns
    run.task.adjusted(run.folder, columns)


def _checked(runs: Sequence[Run], moved_to: str | Path | None, reporter: Reporter) -> list[Dataset]:
    """The images of each run, of one test split, after all that can be checked before it is opened.

    Raises:
        RunError, DataError: the data have changed since, or something is missing or damaged.
    """
    try:
        datasets = [data_of(run.config, moved_to, run.path, reporter, run.fields) for run in runs]
    finally:
        reporter.close()
    for run, dataset in zip(runs, datasets, strict=True):
        if dataset.test.digest != run.record["data"]["test_digest"]:
            raise RunError(
                f"The test images of {dataset.source} are not those that {run.path} was "
                "split from. Restore them, or train anew."
            )
        if dataset.test.digest != datasets[0].test.digest:
            raise RunError(
                f"{runs[0].path} and {run.path} have different test splits; evaluate them one "
                "by one."
            )
    for run, dataset in zip(runs, datasets, strict=True):
        _rehearse(run, dataset)
    return datasets


def _rehearse(run: Run, data: Dataset) -> None:
    """Check the stored test images, and measure one validation image, keeping nothing.

    Raises:
        RunError, DataError: something that the evaluation needs is missing or damaged.
    """
    data.test.check()
    columns: Any = run.rows(data.validation.part(np.arange(1))).columns
    run.task.adjusted(run.folder, columns)


def _evaluated(
    run: Run, images: ImageSet, opening: Opening, reporter: Reporter
) -> tuple[OpenedTest, Predictions]:
    """Calibrated rows and figures of a run on the opened split, and the predictions to store."""
    raw = run.rows(images, partial(reporter.progress, f"predicting with {run.path.name}"))
    columns: Any = raw.columns
    rows = Columns(run.task.adjusted(run.folder, columns))
    predictions = Predictions(
        raw,
        images.digests,
        images.names,
        "test",
        opening.test_digest,
        opening.number,
        run.task.pictures(images, rows),
    )
    return OpenedTest(images, rows, run.task.figures(rows, run.shape), opening), predictions
