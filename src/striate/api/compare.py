"""Runs compared on the same items, from the predictions that they keep; no test split is opened."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.api.run import Run, data_of
from striate.data.part import ImageSet
from striate.data.spelling import enumerated
from striate.errors import DataError, RunError, command_line
from striate.evaluation import Columns, Predictions, load_predictions
from striate.evaluation.report import TINY
from striate.terminal import Reporter

_Picture = Callable[[], np.ndarray | None]
"""Reads a picture; None where it cannot be read any more."""


def compare_runs(
    runs: Sequence[str | Path | Run],
    *,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Any:
    """Two runs or more on the same images: the test split's where all were evaluated.

    Runs of which none was evaluated are compared on their validation split, which choices may
    have been made on.

    Args:
        runs: Folders of runs, or runs.
        data: Path of the images, if they were moved; for the pictures of validation.
        reporter: Receives what happens; None: nobody.

    Raises:
        RunError: fewer than two runs, runs on different splits, or only some were evaluated.
    """
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    if len({run.path.resolve() for run in opened}) < max(len(opened), 2):
        raise RunError("Comparing takes two different runs or more: striate compare RUN RUN")
    for run in opened:
        run.folder.require(run.folder.weights)
    _refuse_other_splits(opened)
    unchecked = tuple(note for run in opened for note in run.notes)
    evaluated = [run.folder.test_predictions.is_file() for run in opened]
    reporter = reporter or Reporter()
    if all(evaluated):
        predictions = [_calibrated_test(run) for run in opened]
        return _compared(opened, predictions, "test", unchecked)
    if any(evaluated):
        sealed = [str(run.path) for run, there in zip(opened, evaluated, strict=True) if not there]
        raise RunError(
            f"{enumerated(sealed)} kept no predictions of the test split, and the others did. "
            "Evaluate first (an opening each, written to the ledger): "
            + "; ".join(command_line("evaluate", path) for path in sealed)
        )
    return _on_validation(opened, data, reporter, unchecked)


def _on_validation(
    runs: Sequence[Run],
    moved_to: str | Path | None,
    reporter: Reporter,
    unchecked: tuple[str, ...],
) -> Any:
    # As in the reports: each image by a calibration that was not fitted on it.
    predictions = [
        replace(load_predictions(run.folder.predictions), rows=run.task.held_out(run.folder))
        for run in runs
    ]
    notes = [
        "None of these runs was evaluated: they are compared on the validation split, on which "
        "choices may have been made. For a result to report: striate evaluate each, then compare.",
        *unchecked,
    ]
    try:
        images = data_of(runs[0].config, moved_to, runs[0].path, reporter).validation
    except (DataError, RunError) as error:
        if not all(stored.digests for stored in predictions):
            raise
        return _compared(runs, predictions, "validation", (*notes, f"No pictures: {error}"))
    finally:
        reporter.close()
    index = {digest: i for i, digest in enumerate(images.digests)}
    predictions = [_named(stored, images.digests, images.names) for stored in predictions]
    # Read when they are shown: of a streamed set each would be decoded here.
    pictures: dict[int, _Picture] = {
        i: partial(_picture, images, index[digest])
        for i, digest in enumerate(predictions[0].digests)
        if digest in index
    }
    return _compared(runs, predictions, "validation", tuple(notes), pictures)


def _calibrated_test(run: Run) -> Predictions:
    stored = load_predictions(run.folder.test_predictions)
    columns: Any = stored.rows.columns
    return replace(stored, rows=Columns(run.task.adjusted(run.folder, columns)))


def _named(stored: Predictions, digests: tuple[str, ...], names: tuple[str, ...]) -> Predictions:
    """Predictions of an older run, which kept no digests, with those of the same split."""
    if stored.digests or len(stored) != len(digests):
        return stored
    return replace(stored, digests=digests, names=names)


def _refuse_other_splits(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        mine, theirs = first.record["data"], run.record["data"]
        reason = None
        if first.config.task != run.config.task:
            reason = "their tasks differ"
        elif _described(first) != _described(run):
            reason = "their classes differ"
        elif mine["digest"] != theirs["digest"]:
            reason = "they were trained on other images"
        elif mine["test_digest"] != theirs["test_digest"]:
            reason = (
                "the images were divided otherwise (split seed "
                f"{mine['split_seed']} and {theirs['split_seed']}, or other fractions)"
            )
        if reason is not None:
            raise RunError(
                f"{first.path} ({mine['title']}) and {run.path} ({theirs['title']}) cannot be "
                f"compared: {reason}. Paired tests need the same test images; train one of them "
                "again on the data and splits of the other."
            )


def _aligned(predictions: Sequence[Predictions], split: str) -> list[Predictions]:
    """All predictions in the order of the first ones, matched by the content of the images."""
    first = predictions[0]
    aligned = [first]
    for stored in predictions[1:]:
        same = sorted(stored.digests) == sorted(first.digests)
        if not same or not len(stored.digests) == len(stored) == len(first):
            raise RunError(
                f"The {split} images of these runs are not the same: they were divided "
                "otherwise. Paired tests need the same images."
            )
        if stored.digests == first.digests:
            aligned.append(stored)
            continue
        # Equal pictures keep their order within each run; their targets decide.
        index = _by_content(stored)[np.argsort(_by_content(first))]
        kept = stored.pictures
        pictures = {i: kept[item] for i, item in enumerate(index.tolist()) if item in kept}
        rows = stored.rows.take(index)
        aligned.append(replace(first, rows=rows, pictures=pictures))
    return aligned


def _by_content(stored: Predictions) -> np.ndarray:
    """Items in the order of their images' content, equal ones by whole numbers in their rows."""
    columns = [c for c in stored.rows.columns.values() if isinstance(c, np.ndarray) and c.ndim == 1]
    targets = [column for column in columns if column.dtype.kind == "i"]
    return np.lexsort((np.arange(len(stored)), *targets, np.array(stored.digests)))


def _described(run: Run) -> dict[str, Any]:
    return {name: field.to_json() for name, field in run.fields.items()}


def _compared(
    runs: Sequence[Run],
    predictions: Sequence[Predictions],
    split: str,
    notes: tuple[str, ...],
    pictures: dict[int, _Picture] | None = None,
) -> Any:
    first = runs[0]
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    return first.task.compare(
        names,
        _aligned(predictions, split),
        first.shape,
        pictures or {},
        split=split,
        notes=notes,
        tiny=max(first.config.data.input_size) < TINY,
    )


def _picture(images: ImageSet, index: int) -> np.ndarray | None:
    """A picture of a split; None where a streamed one cannot be read any more."""
    try:
        return np.asarray(images.images[index])
    except DataError:
        return None
