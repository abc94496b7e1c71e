"""Predictions of several systems on one truth: ids matched, columns as the classes are called."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.data.spelling import cell_name, enumerated, shown
from striate.errors import DataError, did_you_mean
from striate.evaluation.classification.prediction_file import PredictionTable, repeated

_PREFIX = re.compile(r"^(p|prob|probability)[_ ]")
ROUNDING = 0.02
"""How far a row may be from 1 and still pass for rounded: 20 classes with three decimals."""


@dataclass(frozen=True)
class Matched:
    """One system's predictions, in the order of the truth."""

    name: str
    predicted: npt.NDArray[np.int64]
    """Index of the predicted class (N,)."""
    probabilities: npt.NDArray[np.float64] | None
    notes: tuple[str, ...]


def match(
    truth: PredictionTable,
    predictions: Sequence[PredictionTable],
    extra_classes: Sequence[str] = (),
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], tuple[str, ...], list[Matched]]:
    """Ids, targets (N,), class names (K,) and each system's predictions in the truth's order.

    Args:
        truth: Table with labels.
        predictions: Tables of one system or more, on the very same items.
        extra_classes: Further classes, though no item of the truth is of them.

    Raises:
        DataError: ids that are missing, unknown or there twice; classes that the truth does
            not have and no file of probabilities names; rows that are no probabilities.
    """
    if truth.labels is None:
        raise DataError(f"{truth.path} has no column label: the truth is one class for each id.")
    ids = truth.ids or tuple(map(str, range(len(truth.labels))))
    _refuse_repeated(truth.path, ids)
    predictions = [_by_class(table, truth) for table in predictions]
    classes = list(dict.fromkeys(c for table in predictions for c in table.columns))
    more = [*sorted(set(truth.labels), key=_natural), *extra_classes]
    classes += [label for label in dict.fromkeys(more) if label not in classes]
    if len(classes) < 2:
        raise DataError(f"{truth.path} has {len(classes)} class; measuring needs two or more.")
    index = {name: k for k, name in enumerate(classes)}
    target = np.array([index[label] for label in truth.labels])
    names = _short_names([table.path for table in predictions])
    systems = zip(names, predictions, strict=True)
    matched = [_matched(name, table, ids, truth.ids is not None, index) for name, table in systems]
    return ids, target, tuple(classes), matched


def _by_class(table: PredictionTable, truth: PredictionTable) -> PredictionTable:
    """The table with its columns named as the classes are: "p_cat" stands for "cat"."""
    labels = dict.fromkeys(truth.labels or ())
    columns = tuple(cell_name(_PREFIX.sub("", column)) for column in table.columns)
    twice = tuple(cell_name(_PREFIX.sub("", column)) for column in columns)
    # Of two classes "id" and "p_id" the columns may be p_id and p_p_id: prefixes go first.
    all_prefixed = all(map(_PREFIX.match, table.columns))
    for names in (columns if all_prefixed else table.columns, table.columns, columns, twice):
        if not table.columns or set(labels) <= set(names):
            return replace(table, columns=names)
    missing = [name for name in labels if name not in columns]
    raise DataError(
        f"{table.path} has no column of probabilities for the class {enumerated(missing)} of "
        f"{truth.path}.{did_you_mean(missing[0], columns)} Its columns: {enumerated(columns)}."
    )


def _matched(
    name: str, table: PredictionTable, ids: Sequence[str], with_ids: bool, index: Mapping[str, int]
) -> Matched:
    count = len(table.labels) if table.labels is not None else len(table.probabilities)  # type: ignore[arg-type]
    order = _order(table, ids, with_ids, count)
    if table.labels is not None:
        unknown = sorted({label for label in table.labels if label not in index}, key=_natural)
        if unknown:
            raise DataError(
                f"{table.path} predicts the class {enumerated(unknown)}, which the truth does "
                f"not have.{did_you_mean(unknown[0], index)} Known: {enumerated(list(index))}. "
                "If it exists though no item is of it, name it: "
                f"--classes {shlex.quote(','.join(unknown[:3]))}"
            )
        return Matched(name, np.array([index[table.labels[i]] for i in order]), None, ())
    rows = np.zeros((len(ids), len(index)))
    rows[:, [index[c] for c in table.columns]] = table.probabilities[order]  # type: ignore[index]
    rows, notes = _probable(table.path, rows, ids)
    if table.stated is not None:
        notes += _contradictions(table.path, [table.stated[i] for i in order], rows, index)
    return Matched(name, rows.argmax(axis=1).astype(np.int64), rows, notes)


def _contradictions(
    path: Path, stated: Sequence[str], rows: npt.NDArray[np.float64], index: Mapping[str, int]
) -> tuple[str, ...]:
    """A note where labels are not the most probable classes of their rows."""
    likeliest = rows.max(axis=1)
    wrong = sum(
        label != "" and (label not in index or rows[i, index[label]] < likeliest[i])
        for i, label in enumerate(stated)
    )
    if not wrong:
        return ()
    return (
        f"{path.name}: in {wrong:,} of {len(rows):,} rows the label is not the most probable "
        "class. The probabilities were measured; to measure the labels, take the columns of "
        "probabilities out.",
    )


def _order(table: PredictionTable, ids: Sequence[str], with_ids: bool, count: int) -> list[int]:
    """For each item of the truth its index in the table."""
    if table.ids is None or not with_ids:
        if table.ids is None and not with_ids and count == len(ids):
            return list(range(count))
        raise DataError(
            f"{table.path} has {count} rows and {len(ids)} are in the truth, and ids are not in "
            "both files. Without ids in either, rows are matched by order and must be as many."
        )
    _refuse_repeated(table.path, table.ids)
    index = {name: i for i, name in enumerate(table.ids)}
    missing = [name for name in ids if name not in index]
    strange = sorted(set(index) - set(ids))
    problems = [
        f"{len(names)} ids {which} ({enumerated(names, 3)})"
        for names, which in (
            (missing, "of the truth are missing"),
            (strange, "are not in the truth"),
        )
        if names
    ]
    if problems:
        raise DataError(
            f"{table.path}: {' and '.join(problems)}. Metrics of a part would not be those of the "
            "whole: give predictions of exactly the items of the truth."
        )
    return [index[name] for name in ids]


def _refuse_repeated(path: Path, ids: Sequence[str]) -> None:
    if twice := repeated(ids):
        raise DataError(
            f"{path} has {len(twice)} ids more than once ({enumerated(twice, 3)}); each item "
            "needs one row and an id of its own."
        )


def _probable(
    path: Path, rows: npt.NDArray[np.float64], ids: Sequence[str]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Rows divided by their sums, where these are 1 but for rounding."""
    total = rows.sum(axis=1)
    bad = ~np.isfinite(total) | (rows < 0).any(axis=1) | (np.abs(total - 1) > ROUNDING)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"{path}: {int(bad.sum())} of {len(rows)} rows are no probabilities (0 or more, "
            f"sum 1), the first is {shown(ids[first])!r} with sum {total[first]:.4g}. Apply "
            "softmax to scores; divide counts or percentages by their sum."
        )
    away = float(np.abs(total - 1).max())
    note = f"{path.name}: rows sum to 1 within {away:.1g}; they were divided by their sums."
    return rows / total[:, None], (note,) if away > 1e-6 else ()


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names without suffix, with folders where they would be the same."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    whole = [str(path) for path in paths]
    if len(set(whole)) < len(whole):
        raise DataError("The same file of predictions is named twice.")
    return whole


def _natural(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)
