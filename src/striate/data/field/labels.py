"""Any number of labels for each image, from a list in a column or a column for each label."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from striate.data.field.field import Column, Field, Finding, Loaded
from striate.data.field.value import is_missing
from striate.data.spelling import (
    confusable,
    difference,
    enumerated,
    natural_key,
    shown,
    text_name,
)
from striate.errors import DataError
from striate.reading import reported_as

if TYPE_CHECKING:
    from striate.data.decode import ImageSpec
    from striate.data.source import Item, Source

MISSING = -1
"""State of a label of which nothing is known; it is neither learned nor measured."""
ROWS = "\n"
"""Separator of the cells of several rows for one image."""
_LISTS = ("labels", "label")
_CLASS = "(class)"
"""Stands for a column where the labels are those of the item's class, such as its folder."""
_STATES = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "0": 0, "0.0": 0, "false": 0, "no": 0}
_NONE = {"", "none", "[]"}
"""Cells of a list, in lower case, that say that an image has no label."""
_FEW = 3
"""Images for each combination of words; fewer are hardly classes."""
_FORM = (
    'Accepted: a column "labels" with lists such as koala;wet or, in JSON, ["koala", "wet"]; one '
    "column of 0 and 1 for each label, empty where it is not known; or several rows for one image."
)


class Labels(Field):
    """Labels of an image; values are (K,) int8: 1 has the label, 0 has it not, -1 not known.

    A batch is (B, K) float32.

    Args:
        names: Names of the K labels.
        listed_in: Column with lists of labels; None: each label has a column of its own.
        separator: Separator of the labels in a cell: one of `;|, ` and " "; "" for single labels
            and JSON lists.
    """

    kind = "labels"
    batch_dtype = np.float32

    def __init__(
        self, names: Sequence[str], listed_in: str | None = None, separator: str = ""
    ) -> None:
        super().__init__(names)
        self.listed_in, self.separator = listed_in, separator

    @classmethod
    def of(cls, source: "Source", name: str) -> "Labels":
        keys = {key: None for item in source.items for key in item.columns or ()}
        column = next((key for key in _LISTS if key in keys), None)
        binary = [] if column else binary_columns(source.items)
        if binary:
            return cls(binary)
        column = column or _CLASS
        cells = sorted({_cell(item, column) for item in _with_class(source, source.items)})
        several = any(ROWS in cell for cell in cells)
        mark = separator(cells, words=not several)
        names = {label: None for cell in cells for label in split_cell(cell, mark)}
        for twice in confusable(names):
            raise DataError(
                f"{source.title}: labels differ only in {difference(twice)}. Use one spelling if "
                "they are one label, other names if they are two."
            )
        if not names:
            raise DataError(f"{source.title} names no labels. {_FORM}")
        return cls(sorted(names, key=natural_key), column, mark)

    @classmethod
    def inspect(cls, source: "Source", items: Sequence["Item"]) -> list[Finding]:
        if why_labels(source) is None:
            return []
        field = cls.of(source, cls.kind)
        table = field.column([field.read(item) for item in _with_class(source, items)])
        found = [Finding("labels", f"{len(field.names):,}", field.summary(table))]
        counts = zip(field.names, field.counts(table), strict=True)
        return found + [Finding(shown(name), f"{count:,}", "images") for name, count in counts]

    def load(
        self, source: "Source", items: Sequence["Item"], spec: "ImageSpec", path: Path
    ) -> Loaded:
        return super().load(source, _with_class(source, items), spec, path)

    def read(self, item: "Item") -> np.ndarray:
        if self.listed_in is None:
            cells = {name: _cell(item, name).lower() for name in self.names}
            states = {n: MISSING if is_missing(c) else _STATES.get(c) for n, c in cells.items()}
            if wrong := [name for name, state in states.items() if state is None]:
                raise DataError(
                    f"{shown(item.name)}: {wrong[0]} is {cells[wrong[0]]!r}; accepted: 1, 0, or an "
                    "empty cell where it is not known."
                )
            return np.array(list(states.values()), np.int8)
        cell = _cell(item, self.listed_in)
        if is_missing(cell) and cell.lower() not in _NONE:
            return np.full(len(self.names), MISSING, np.int8)
        present = set(split_cell(cell, self.separator))
        return np.array([name in present for name in self.names], np.int8)

    def strata(self, column: Column) -> tuple[Sequence[tuple[int, ...]], tuple[str, ...]]:
        return [tuple(np.flatnonzero(row == 1).tolist()) for row in column], self.names

    def decode(self, values: list[list[int]]) -> Column:
        return np.array(values, np.int8).reshape(len(values), len(self.names))

    def line(self, value: np.ndarray | np.generic) -> str:
        states = zip(self.names, np.asarray(value).tolist(), strict=True)
        return ";".join(f"{'?' * (state < 0)}{name}" for name, state in states if state)

    def counts(self, column: Column) -> tuple[int, ...]:
        """The number of items that have each label (K,)."""
        counts: list[int] = (np.asarray(column) == 1).sum(0).tolist()
        return tuple(counts)

    def summary(self, column: Column) -> str:
        table = np.asarray(column)
        parts = [f"{len(self.names)} labels, the rarest {min(self.counts(column)):,}"]
        if without := int((~(table == 1).any(1)).sum()):
            parts.append(f"{without:,} images without any")
        if missing := int((table == MISSING).sum()):
            parts.append(f"{missing:,} cells not known")
        return "; ".join(parts)


def separator(cells: Iterable[str], *, words: bool) -> str:
    """The separator of labels in the cells of a column; "" where there is none.

    Args:
        cells: Cells of the column.
        words: Whether labels may be separated by spaces alone.
    """
    cells = [cell for cell in cells if not cell.startswith("[")]
    marks = (mark for mark in (";", "|", ",") if any(mark in cell for cell in cells))
    return next(marks, " " if words and any(" " in cell for cell in cells) else "")


def split_cell(cell: str, mark: str) -> list[str]:
    """The labels of a cell, which may hold those of several rows.

    Example:
        >>> split_cell("koala; wet", ";"), split_cell('["koala", "wet"]', ""), split_cell("", ";")
        (['koala', 'wet'], ['koala', 'wet'], [])
    """
    labels: list[str] = []
    for row in cell.split(ROWS):
        if row.startswith("["):
            with reported_as(DataError, f"{shown(row[:80])} is no JSON list", _FORM):
                values = json.loads(row)
            # NaN alone does not equal itself.
            if any(not isinstance(v, (str, int, float)) or v != v for v in values):
                raise DataError(f"{shown(row[:80])} is no list of names. {_FORM}")
            labels += [text_name(str(value)) for value in values]
        elif row.lower() not in _NONE and not is_missing(row):
            labels += re.split(re.escape(mark), row) if mark else [row]
    return [label.strip() for label in labels if label.strip()]


def why_lists(cells: Mapping[str, int]) -> str | None:
    """The reason why the cells of a column are evidently lists of labels; else None.

    Names of classes have spaces and commas, too: parts between those are labels where they combine
    in more ways than there are parts, or where each combination has fewer than three images.

    Args:
        cells: Number of images of each different cell.

    Example:
        >>> why_lists({"koala;wet": 9, "koala;dusk": 9}) is None
        False
        >>> why_lists({"polar bear": 9, "brown bear": 9}) is None
        True
    """
    if any(cell.startswith("[") for cell in cells):
        return "the labels are JSON lists"
    mark = separator(cells, words=True)
    if not mark:
        return None
    lists = {cell: split_cell(cell, mark) for cell in cells}
    within = Counter(label for labels in lists.values() for label in dict.fromkeys(labels))
    shared = [label for label, count in within.most_common() if count > 1]
    if not shared:
        return None
    whole = len(cells) > len(within) or sum(cells.values()) < _FEW * len(cells)
    if mark in ", " and not whole:
        return None
    example = next(cell for cell, labels in lists.items() if shared[0] in labels and mark in cell)
    return (
        f"labels such as {shown(example)!r} are lists: {shown(shared[0])!r} stands in "
        f"{within[shared[0]]} of {len(cells)} combinations"
    )


def binary_columns(items: Sequence["Item"]) -> list[str]:
    """The columns that hold nothing but 0, 1 and empty cells, at least one of them a 1."""
    cells: dict[str, set[str]] = {}
    for item in items:
        for key, cell in (item.columns or {}).items():
            cells.setdefault(key, set()).add(cell.strip().lower())
    return [
        key
        for key, texts in cells.items()
        if all(cell in _STATES or is_missing(cell) for cell in texts)
        and any(_STATES.get(cell) == 1 for cell in texts)
    ]


def why_labels(source: "Source") -> str | None:
    """The reason why a source evidently has any number of labels for each image; else None."""
    if any("labels" in (item.columns or {}) for item in source.items):
        return "the list has a column 'labels'"
    if source.class_names:
        return why_lists(Counter(source.class_names[item.label] for item in source.items))
    cells = Counter(_cell(item, "label") for item in source.items)
    if any(ROWS in cell for cell in cells):
        return None  # whether several rows are several labels, a person must say
    binary = binary_columns(source.items)
    if len(binary) < 2:
        return why_lists(cells)
    return f"{enumerated(binary, most=4)} hold 0 and 1, one column for each label"


def _with_class(source: "Source", items: Sequence["Item"]) -> list["Item"]:
    """The items with the name of their class among the columns, where they have one."""
    shared = [{_CLASS: name} for name in source.class_names]
    return [
        item._replace(columns={**(item.columns or {}), **shared[item.label]}) if shared else item
        for item in items
    ]


def _cell(item: "Item", column: str) -> str:
    return (item.columns or {}).get(column, "").strip()
