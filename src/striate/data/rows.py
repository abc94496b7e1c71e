"""From rows of a table to items: the classes, splits, groups and further columns of a list."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from striate.data.field.labels import ROWS, why_lists
from striate.data.field.value import are_numbers, are_values, is_missing
from striate.data.layout import by_name, split_named
from striate.data.source import Item, Listing
from striate.data.spelling import class_key, natural_key
from striate.errors import DataError

COLUMNS = frozenset({"path", "label", "split", "group"})
"""Columns with a meaning of their own; all others are kept for the fields of a task."""
_FILES = ("mask",)
"""Columns that name further files, in the way of the paths of images."""


def read_rows(
    origin: str,
    positions: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    key_of: Callable[[str], Any],
    expected: str,
) -> Listing:
    """Find the classes and items of rows.

    Args:
        origin: Name of the rows in messages.
        positions: Position of each row in messages ("line 3").
        rows: Cells by column: path and perhaps label, split, group and others.
        key_of: How the source finds a path again.
        expected: Sentence on the form of the rows.

    Raises:
        DataError: All problems of the rows together.
    """
    with_split = any("split" in row for row in rows)
    # A list without labels has other columns, which a task reads.
    labelled = any("label" in row for row in rows)
    labels = {cell(row, "label") for row in rows} if labelled else set()
    # Values and lists of labels may be missing, classes may not.
    lacking = {label for label in labels if is_missing(label)}
    needed = ("path", "label") if labelled else ("path",)
    lists = why_lists(Counter(cell(row, "label") for row in rows)) is not None
    if lacking and (lists or are_values(labels - lacking)):
        needed, labels = ("path",), labels - lacking
    problems: list[str] = []
    for position, row in zip(positions, rows, strict=True):
        problems += _row_problems(position, row, needed, with_split)
    folded: dict[str, str] = {}
    for name in () if lists else sorted(labels):
        if class_key(name) in folded:
            problems.append(
                f"The classes {folded[class_key(name)]!r} and {name!r} differ only in letter "
                "case. Use one spelling if they are one class, other names if they are two."
            )
        folded[class_key(name)] = name
    if labelled and not problems and not lists and len(labels) < 2:
        problems.append(f"{origin} has {len(labels)} class(es); a classifier needs two or more.")
    if problems:
        more = [f"and {len(problems) - 10} more problems"] if len(problems) > 10 else []
        raise DataError("\n".join([f"{origin}:", *problems[:10], *more, expected]))
    # Of values the last row counts, as of equal labels.
    several = {} if are_values(labels) else _several(positions, rows)
    # Where labels are missing, the others are values or lists, and no classes.
    names = sorted(labels, key=natural_key) if "label" in needed and not several else []
    index = {name: label for label, name in enumerate(names)}
    own = COLUMNS - {"label"} if are_numbers(labels) or lists or several else COLUMNS
    items = [_item(row, index, own, key_of) for row in rows]
    if several:
        items = [
            _union(item, several[item.name]) if item.name in several else item for item in items
        ]
    unique, repeats = by_name(items)
    no_classes = _why_no_classes(origin, several) if several else ""
    return Listing(tuple(names), unique, () if several else tuple(repeats), no_classes=no_classes)


def _several(
    positions: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, list[tuple[str, str]]]:
    """Positions and labels of the rows of each image that has several with different labels."""
    column = "labels" if any("labels" in row for row in rows) else "label"
    of_path: dict[str, list[tuple[str, str]]] = {}
    for position, row in zip(positions, rows, strict=True):
        of_path.setdefault(cell(row, "path"), []).append((position, cell(row, column)))
    return {
        path: labels for path, labels in of_path.items() if len({label for _, label in labels}) > 1
    }


def _union(item: Item, rows: Sequence[tuple[str, str]]) -> Item:
    """An item with the labels of all of its rows."""
    column = "labels" if "labels" in (item.columns or {}) else "label"
    cells = ROWS.join(dict.fromkeys(label for _, label in rows))
    return item._replace(columns={**(item.columns or {}), column: cells})


def _why_no_classes(origin: str, several: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    few = [
        f"  {path}: {', '.join(f'{label} ({position})' for position, label in rows)}"
        for path, rows in list(several.items())[:5]
    ]
    more = [f"  and {len(several) - 5} more"] if len(several) > 5 else []
    head = f"{origin}: {len(several)} image(s) have several rows with different labels:"
    ways = (
        f"If an image has all labels of its rows: striate train {origin} --task labels. If it has "
        "one class, leave one row for each image."
    )
    return "\n".join([head, *few, *more, ways])


def cell(row: Mapping[str, Any], column: str) -> str:
    """The text of a cell, of a list as JSON; empty where there is none."""
    return _text(row.get(column)).strip()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _item(
    row: Mapping[str, Any],
    index: Mapping[str, int],
    own: frozenset[str],
    key_of: Callable[[str], Any],
) -> Item:
    name = cell(row, "path")
    columns = {
        key: "null" if value is None and key in ("label", "labels") else _text(value)
        for key, value in row.items()
        if key not in own
    }
    label = index.get(cell(row, "label"), 0)
    split, group = split_named(cell(row, "split")), cell(row, "group") or None
    files = {
        key: (Item(further, 0, split, key_of(further)),)
        for key in _FILES
        if (further := cell(row, key))
    }
    return Item(name, label, split, key_of(name), group, columns or None, files or None)


def _row_problems(
    position: str, row: Mapping[str, Any], needed: Sequence[str], with_split: bool
) -> list[str]:
    problems = [f"{position} has no {column}." for column in needed if not cell(row, column)]
    split = cell(row, "split")
    if with_split and split_named(split) is None:
        problems.append(f"{position}: the split {split!r} is none of train, validation, test.")
    return problems
