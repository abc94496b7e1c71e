"""From rows of a table to items: the classes, splits, groups and further columns of a list."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from striate.data.field.labels import ROWS, why_lists
from striate.data.field.value import are_numbers, are_values, is_missing
from striate.data.layout import by_name, split_named
from striate.data.source import Item, Listing
from striate.data.spelling import confusable, difference, is_text, natural_key, shown
from striate.errors import DataError, command_line

COLUMNS = frozenset({"path", "label", "split", "group"})
"""Columns with a meaning of their own; all others are kept for the fields of a task."""
FILES = ("mask",)
"""Columns that name further files, in the way of the paths of images."""
_ONE_EACH = frozenset({"split", "group", "mask", "value", "text", "boxes", "points"})
"""Columns of which an image has one cell, also where several rows name it."""


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
    problems += _label_problems(positions, rows, needed, labels)
    problems += [
        f"Names of classes differ only in {difference(names)}. Use one spelling if they are one "
        "class, other names if they are two."
        for names in ([] if lists else confusable(labels))
    ]
    differing = _differing(positions, rows)
    problems += _conflicts(differing, {"label"} if are_values(labels) else set())
    if labelled and not problems and not lists and len(labels) < 2:
        problems.append(f"{origin} has {len(labels)} class(es); a classifier needs two or more.")
    refuse_rows(origin, problems, expected)
    column = "labels" if any("labels" in row for row in rows) else "label"
    several = {path: cells[column] for path, cells in differing.items() if column in cells}
    # Where labels are missing, the others are values or lists, and no classes.
    names = sorted(labels, key=natural_key) if "label" in needed and not several else []
    index = {name: label for label, name in enumerate(names)}
    own = COLUMNS - {"label"} if are_numbers(labels) or lists or several else COLUMNS
    items = [_item(row, index, own, key_of) for row in rows]
    if differing:
        items = [_united(item, differing.get(item.name, {}), own) for item in items]
    unique, repeats = by_name(items)
    no_classes = _why_no_classes(origin, several) if several else ""
    return Listing(tuple(names), unique, () if several else tuple(repeats), no_classes=no_classes)


def refuse_rows(origin: str, problems: Sequence[str], expected: str) -> None:
    """Refuse rows with problems, the first ten of which are named.

    Raises:
        DataError: There are problems.
    """
    if problems:
        more = [f"and {len(problems) - 10} more problems"] if len(problems) > 10 else []
        raise DataError("\n".join([f"{origin}:", *problems[:10], *more, expected]))


def _differing(
    positions: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Positions and cells of the columns in which rows of one image differ, by its path."""
    paths = [cell(row, "path") for row in rows]
    if len(set(paths)) == len(paths):
        return {}
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, path in enumerate(paths):
        numbers[path].append(number)
    differing: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for path, own in numbers.items():
        keys = dict.fromkeys(key for n in own for key in rows[n]) if len(own) > 1 and path else ()
        for key in keys:
            cells = [(positions[n], cell(rows[n], key)) for n in own]
            if len({text for _, text in cells}) > 1:
                differing.setdefault(path, {})[key] = cells
    return differing


def _conflicts(
    differing: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]], further: set[str]
) -> list[str]:
    """Sentences on images whose rows differ where an image has one cell."""
    return [
        f"{shown(path)} has several rows, which differ in its {column}: "
        f"{', '.join(f'{shown(text)!r} ({position})' for position, text in cells[:5])}. "
        "Leave one row for each image."
        for path, columns in differing.items()
        for column, cells in columns.items()
        if column in _ONE_EACH | further
    ]


def _united(
    item: Item, differing: Mapping[str, Sequence[tuple[str, str]]], own: frozenset[str]
) -> Item:
    """An item with the cells of all of its rows in the columns that are kept for tasks."""
    cells = {
        column: ROWS.join(dict.fromkeys(text for _, text in rows))
        for column, rows in differing.items()
        if column not in own
    }
    return item._replace(columns={**(item.columns or {}), **cells}) if cells else item


def _why_no_classes(origin: str, several: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    few = [
        f"  {path}: {', '.join(f'{label} ({position})' for position, label in rows)}"
        for path, rows in list(several.items())[:5]
    ]
    more = [f"  and {len(several) - 5} more"] if len(several) > 5 else []
    head = f"{origin}: {len(several)} image(s) have several rows with different labels:"
    ways = (
        "If an image has all labels of its rows: "
        f"{command_line('train', origin, '--task', 'labels')}. If it has one class, leave one row "
        "for each image."
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
        for key in FILES
        if (further := cell(row, key))
    }
    return Item(name, label, split, key_of(name), group, columns or None, files or None)


def _label_problems(
    positions: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    needed: Sequence[str],
    labels: set[str],
) -> list[str]:
    """Sentences on labels that are no names: not a number, or with line breaks in them."""
    nameless = {label for label in labels if label.lower() == "nan" and "label" in needed}
    broken = {label for label in labels if "\n" in label or "\r" in label}
    problems = []
    for position, row in zip(positions, rows, strict=True) if nameless | broken else ():
        label = cell(row, "label")
        if label in nameless:
            problems.append(f"{position} has no label, it is {label!r}.")
        elif label in broken:
            few = shown(label if len(label) <= 40 else f"{label[:40]}...")
            problems.append(f"{position}: the label '{few}' holds line breaks: close its quote.")
    return problems


def _row_problems(
    position: str, row: Mapping[str, Any], needed: Sequence[str], with_split: bool
) -> list[str]:
    problems = [f"{position} has no {column}." for column in needed if not cell(row, column)]
    problems += [
        f"{position}: {shown(column)} is '{shown(text)}', which is no text."
        for column, text in ((column, _text(value)) for column, value in row.items())
        if not is_text(column) or not is_text(text)
    ]
    split = cell(row, "split")
    if with_split and split_named(split) is None:
        problems.append(f"{position}: the split {split!r} is none of train, validation, test.")
    return problems
