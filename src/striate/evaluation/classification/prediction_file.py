"""Predictions and truths of other systems: CSV, JSON and NPZ files to arrays.

Formats: docs/how-to/external.md. A file holds an id for each item and either the predicted class
or a probability for each class.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.array_file import read_arrays
from striate.data.csv_text import read_csv
from striate.data.source import read_text
from striate.data.spelling import cell_name, enumerated, shown
from striate.errors import DataError
from striate.reading import reported_as

Array = npt.NDArray[Any]

IDS = ("id", "name", "path", "image", "file", "filename", "ids")
_TRUTHS = ("truth", "target")
LABELS = ("label", "class", "answer", "prediction", "predicted", *_TRUTHS, "labels")
IGNORED = ("confidence", "problem", "abstained", "split", "probability")
RESERVED = frozenset({*IDS, *LABELS, *IGNORED})
"""Columns that are no class, in lower case."""
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
    with reported_as(DataError, f"{path} cannot be read", _FORM):
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
    above = text[: len(text) - len(body)].count("\n")
    numbered = read_csv(path, body, delimiter, _FORM, above)
    columns = [column.strip() for column in next(numbered).cells]
    if twice := repeated(columns):
        raise DataError(f"{path} has the column {enumerated(twice)} more than once.")
    rows = []
    for line, _, row in numbered:
        if not row:
            continue
        if len(row) != len(columns):
            raise DataError(
                f"{path}, line {line}: {len(row)} values for {len(columns)} columns. "
                "Put a value that holds a comma in quotes."
            )
        # As after a stray quote; names with line breaks have no further values in them.
        if any(delimiter in value and len(value.splitlines()) > 1 for value in row):
            raise DataError(f"{path}, line {line}: a value holds other rows; close its quote.")
        rows.append(dict(zip(columns, map(str.strip, row), strict=True)))
    return rows


def _json_rows(path: Path, text: str) -> list[dict[str, Any]]:
    by_line = path.suffix.lower() == ".jsonl"
    with reported_as(DataError, f"{path} is no JSON", _FORM):
        parts = [
            json.loads(line) for line in (text.splitlines() if by_line else [text]) if line.strip()
        ]
    if not parts:
        raise DataError(f"{path} is empty. {_FORM}")
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


def repeated(names: Sequence[str]) -> list[str]:
    """The names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
