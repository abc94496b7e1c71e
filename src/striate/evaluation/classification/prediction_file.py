"""Predictions and truths of other systems: CSV, JSON and NPZ files to arrays, ids matched.

Formats: docs/how-to/external.md. A file holds an id for each item and either the predicted class
or a probability for each class.
"""

import csv
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.source import read_arrays, read_text
from striate.data.spelling import cell_name, enumerated, shown
from striate.errors import DataError, did_you_mean

Array = npt.NDArray[Any]

IDS = ("id", "name", "path", "image", "file", "filename", "ids")
_TRUTHS = ("truth", "target")
LABELS = ("label", "class", "answer", "prediction", "predicted", *_TRUTHS, "labels")
IGNORED = ("confidence", "problem", "abstained", "split", "probability")
RESERVED = frozenset({*IDS, *LABELS, *IGNORED})
"""Columns that are no class, in lower case."""
_PREFIX = re.compile(r"^(p|prob|probability)[_ ]")
ROUNDING = 0.02
"""How far a row may be from 1 and still pass for rounded: 20 classes with three decimals."""
_FORM = (
    "Expected a header with id and label, or id and one column of probabilities for each class; "
    "or the same as JSON or NPZ (docs: Evidence)."
)


@dataclass(frozen=True)
class PredictionTable:
    """The table of one file: ids, and labels or probabilities."""

    path: Path
    ids: tuple[str, ...] | None
    """None: the file has no ids, and its rows stand in the order of the truth."""
    labels: tuple[str, ...] | None
    columns: tuple[str, ...] = ()
    """Names of the columns of `probabilities`, as they stand there."""
    probabilities: npt.NDArray[np.float64] | None = None
    stated: tuple[str, ...] | None = None
    """Labels that the file has beside probabilities; empty where an item has none."""


@dataclass(frozen=True)
class Matched:
    """One system's predictions, in the order of the truth."""

    name: str
    predicted: npt.NDArray[np.int64]
    """Index of the predicted class (N,)."""
    probabilities: npt.NDArray[np.float64] | None
    notes: tuple[str, ...]


def read_table(path: Path) -> PredictionTable:
    """A file of predictions or of truths.

    Args:
        path: Path of a .csv, .tsv, .json, .jsonl or .npz file.

    Raises:
        DataError: the file cannot be read, or has another form.
    """
    if path.is_dir():
        raise DataError(
            f"{path} is a folder; accepted: a CSV, JSON or NPZ file with a class for each image. "
            "Masks and numbers are measured by: striate evaluate RUN"
        )
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_arrays(path)
    text = read_text(path)
    if suffix in (".json", ".jsonl"):
        return _from_rows(path, _json_rows(path, text), "entry")
    if suffix in (".csv", ".tsv", ".txt"):
        return _from_rows(path, _csv_rows(path, text), "line")
    raise DataError(f"{path} is no .csv, .tsv, .json, .jsonl or .npz file. {_FORM}")


def _csv_rows(path: Path, text: str) -> list[dict[str, Any]]:
    body = text.lstrip("\r\n")
    if not body:
        raise DataError(f"{path} is empty. {_FORM}")
    delimiter = max(",;\t", key=body.splitlines()[0].count)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
    columns = [column.strip() for column in next(reader)]
    if repeated := _repeated(columns):
        raise DataError(f"{path} has the column {enumerated(repeated)} more than once.")
    rows = []
    for row in filter(None, reader):
        if len(row) != len(columns):
            raise DataError(
                f"{path}, line {reader.line_num}: {len(row)} values for {len(columns)} columns. "
                "Put a value that holds a comma in quotes."
            )
        rows.append(dict(zip(columns, map(str.strip, row), strict=True)))
    return rows


def _json_rows(path: Path, text: str) -> list[dict[str, Any]]:
    by_line = path.suffix.lower() == ".jsonl"
    try:
        parts = [
            json.loads(line) for line in (text.splitlines() if by_line else [text]) if line.strip()
        ]
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}. {_FORM}") from error
    value = parts if by_line else parts[0]
    if isinstance(value, dict):
        value = [
            {"id": key, **(row if isinstance(row, dict) else {"label": row})}
            for key, row in value.items()
        ]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise DataError(f"{path} is no list of objects. {_FORM}")
    listed = [row for row in value if not isinstance(row.get("probabilities") or {}, dict)]
    if listed:
        raise DataError(
            f"{path}: the probabilities of {len(listed)} items do not name their classes; write "
            f'{{"probabilities": {{"cat": 0.9, "dog": 0.1}}}}. {_FORM}'
        )
    # With a prefix, so that a class "label" is no label.
    return [
        {key: item for key, item in row.items() if key != "probabilities"}
        | {f"p_{name}": share for name, share in (row.get("probabilities") or {}).items()}
        for row in value
    ]


def _from_rows(path: Path, rows: list[dict[str, Any]], row_name: str) -> PredictionTable:
    if not rows:
        raise DataError(f"{path} has no rows. {_FORM}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    folded = {column.strip().lower(): column for column in reversed(columns)}
    id_column = next((folded[name] for name in IDS if name in folded), None)
    label_column = next((folded[name] for name in LABELS if name in folded), None)
    rest = [
        column
        for column in columns
        if column not in (id_column, label_column) and column.strip().lower() not in IGNORED
    ]
    if id_column is None:
        raise DataError(f"{path} has no column id; its columns are {enumerated(columns)}. {_FORM}")
    if label_column is None and len(rest) < 2:
        raise DataError(
            f"{path} has neither a column label nor columns of probabilities; its columns are "
            f"{enumerated(columns)}. {_FORM}"
        )
    problems = [row for row in rows if str(row.get("problem") or "").strip()]
    if problems:
        raise DataError(
            f"{path}: {len(problems)} items have no prediction but a problem, the first is "
            f"{shown(str(problems[0][id_column]))}. Take them out of both files, or correct them."
        )
    ids = tuple(_text(row.get(id_column)) for row in rows)
    probabilities = _numbers(path, rows, rest, ids) if len(rest) >= 2 else None
    labels = None
    if label_column is not None:
        labels = tuple(_text(row.get(label_column)) for row in rows)
    if probabilities is not None:
        stated = labels if str(label_column).strip().lower() not in _TRUTHS else None
        return PredictionTable(path, ids, None, tuple(map(_text, rest)), probabilities, stated)
    if labels is not None:
        empty = [i for i, label in enumerate(labels, start=1) if not label]
        if empty:
            raise DataError(
                f"{path}: {len(empty)} rows have no label, the first is {row_name} "
                f"{empty[0] + (row_name == 'line')}."
            )
    return PredictionTable(path, ids, labels)


def _numbers(
    path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], ids: Sequence[str]
) -> npt.NDArray[np.float64]:
    values = np.empty((len(rows), len(columns)))
    for (i, row), (k, column) in product(enumerate(rows), enumerate(columns)):
        try:
            values[i, k] = float(row[column])
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{path}: {row.get(column)!r} in the column {shown(column)!r} of {shown(ids[i])!r} "
                f"is no number; every class needs a probability for every item. {_FORM}"
            ) from None
    return values


def _from_arrays(path: Path) -> PredictionTable:
    arrays = read_arrays(path)
    ids, labels = (
        next((arrays[name] for name in names if name in arrays), None) for names in (IDS, LABELS)
    )
    names, probabilities = arrays.get("class_names"), arrays.get("probabilities")
    values = labels if probabilities is None else probabilities
    if values is None:
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; expected probabilities (N, K) or "
            "labels (N,), and perhaps ids (N,) and class_names (K,)."
        )
    if values.ndim != (1 if probabilities is None else 2):
        form = "labels are (N,)" if probabilities is None else "probabilities are (N, K)"
        raise DataError(f"{path}: {form}; these are {values.shape}.")
    if ids is not None and ids.shape != values.shape[:1]:
        raise DataError(
            f"{path}: ids are {ids.shape} for {len(values)} items; every item needs one."
        )
    known = None if ids is None else tuple(map(_text, ids.tolist()))
    classes = None if names is None else names.tolist()
    if probabilities is not None:
        columns = range(probabilities.shape[1]) if classes is None else classes
        if len(columns) != probabilities.shape[1]:
            raise DataError(
                f"{path}: {len(columns)} class_names for {probabilities.shape[1]} "
                "columns of probabilities."
            )
        rows = probabilities.astype(np.float64)
        return PredictionTable(path, known, None, tuple(map(_text, columns)), rows)
    predicted = values.tolist()
    if classes is not None and values.dtype.kind in "iu":
        strange = sorted({index for index in predicted if not 0 <= index < len(classes)})
        if strange:
            raise DataError(
                f"{path}: the labels {enumerated([str(index) for index in strange])} are no "
                f"indices in class_names, which has {len(classes)}: 0 to {len(classes) - 1}."
            )
        predicted = [classes[index] for index in predicted]
    return PredictionTable(path, known, tuple(map(_text, predicted)))


def _text(value: Any) -> str:
    """A label or an id as a table has it; 3.0, which spreadsheets make of 3, is 3."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else cell_name(shown(str(value).strip()))


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


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _refuse_repeated(path: Path, ids: Sequence[str]) -> None:
    if repeated := _repeated(ids):
        raise DataError(
            f"{path} has {len(repeated)} ids more than once ({enumerated(repeated, 3)}); each item "
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
