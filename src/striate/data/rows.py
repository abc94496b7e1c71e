"""From rows of a table to items: the classes, splits, groups and further columns of a list."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from striate.data.field.value import are_numbers, are_values, is_missing
from striate.data.layout import by_name, class_key, natural_key, split_named
from striate.data.source import Item, Listing
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
        origin: Place of the rows in messages.
        positions: Position of each row in messages ("line 3").
        rows: Cells by column: path and perhaps label, split, group and others.
        key_of: How the source finds a path again.
        expected: Sentence on what the rows must look like.

    Raises:
        DataError: All problems of the rows together.
    """
    with_split = any("split" in row for row in rows)
    # A list without labels has other columns, which a task reads.
    labelled = any("label" in row for row in rows)
    labels = {cell(row, "label") for row in rows} if labelled else set()
    # Values may be missing, classes may not.
    lacking = {label for label in labels if is_missing(label)}
    needed = ("path", "label") if labelled else ("path",)
    if lacking and are_values(labels - lacking):
        needed, labels = ("path",), labels - lacking
    problems: list[str] = []
    for position, row in zip(positions, rows, strict=True):
        problems += _row_problems(position, row, needed, with_split)
    folded: dict[str, str] = {}
    for name in sorted(labels):
        if class_key(name) in folded:
            problems.append(
                f"The classes {folded[class_key(name)]!r} and {name!r} differ only in letter "
                "case. Use one spelling if they are one class, other names if they are two."
            )
        folded[class_key(name)] = name
    if labelled and not problems and len(labels) < 2:
        problems.append(f"{origin} has {len(labels)} class(es); a classifier needs two or more.")
    if problems:
        more = [f"and {len(problems) - 10} more problems"] if len(problems) > 10 else []
        raise DataError("\n".join([f"{origin}:", *problems[:10], *more, expected]))
    names = sorted(labels, key=natural_key)
    index = {name: label for label, name in enumerate(names)}
    own = COLUMNS - {"label"} if are_numbers(labels) else COLUMNS
    unique, repeats = by_name([_item(row, index, own, key_of) for row in rows])
    # Where labels are missing, the others are values and no classes.
    return Listing(tuple(names) if "label" in needed else (), unique, tuple(repeats))


def cell(row: Mapping[str, Any], column: str) -> str:
    """The text of a cell; empty where there is none."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _item(
    row: Mapping[str, Any],
    index: Mapping[str, int],
    own: frozenset[str],
    key_of: Callable[[str], Any],
) -> Item:
    name = cell(row, "path")
    columns = {
        key: "" if value is None else str(value) for key, value in row.items() if key not in own
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
