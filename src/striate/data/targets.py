"""Targets in arrays: whole numbers and names are classes, other numbers are values, tables of 0 and
1 are labels, and arrays as high and wide as the images are masks."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.data.source import Item
from striate.data.spelling import confusable, difference
from striate.errors import DataError
from striate.memory import require_memory

Arrays = Mapping[str, np.ndarray]
_BYTES_PER_VALUE = 40
"""Memory of a target as a number of Python's, in a list."""


class Targets(NamedTuple):
    """The targets of all sets of images in a file."""

    class_names: tuple[str, ...]
    items: list[list[Item]]
    """Items of each set, which have no names yet."""
    notes: tuple[str, ...]


def read_targets(
    path: Path, arrays: Arrays, pairs: Sequence[tuple[str, str]], expected: str
) -> Targets:
    """Find the targets of each image.

    Args:
        path: Path of the file, for messages.
        arrays: Arrays of the file by name; class_names perhaps names classes, values or labels.
        pairs: Names of the images and of the targets of each set.
        expected: Sentence on the form of the arrays.

    Raises:
        DataError: targets that are none of these, or not one for each image.
    """
    targets = {x: _one_column(arrays[y]) for x, y in pairs}
    num_values = sum(target.size for target in targets.values() if target.ndim <= 2)
    require_memory(_BYTES_PER_VALUE * num_values, f"Listing the targets of {path}")
    named, kind = arrays.get("class_names"), _kind_of(arrays, targets)
    if kind == "classes":
        labels = {x: _labels(path, y, targets[x], len(arrays[x]), expected) for x, y in pairs}
        names, index = _classes(path, labels, named)
        classes = [
            [Item("", index[v], None) for v in of_set.tolist()] for of_set in labels.values()
        ]
        return Targets(names, classes, ())
    for x, y in pairs:
        if len(targets[x]) != len(arrays[x]):
            _labels(path, y, targets[x], len(arrays[x]), expected)
    if kind == "masks":
        return Targets((), [_masks(y, len(arrays[y])) for _, y in pairs], ())
    one_hot = kind == "labels" and all((y.sum(1) == 1).all() for y in targets.values())
    note = (
        "Each image has exactly one of the labels. If they are classes, give whole numbers: "
        "y.argmax(axis=1).",
    )
    items = [[Item("", 0, None, columns=c) for c in _cells(y, named)] for y in targets.values()]
    return Targets((), items, note if one_hot else ())


def _one_column(target: np.ndarray) -> np.ndarray:
    """Targets (N,) where they came as (N, 1), as Keras has the classes of CIFAR."""
    return target[:, 0] if target.ndim == 2 and target.shape[1] == 1 else target


def _kind_of(arrays: Arrays, targets: Arrays) -> str:
    """What all targets are: classes, values, labels or masks."""
    if all(
        y.dtype.kind in "biu" and y.ndim >= 3 and _one_layer(y).shape == arrays[x].shape[:3]
        for x, y in targets.items()
    ):
        return "masks"
    if all(y.ndim == 2 and y.dtype.kind in "biuf" for y in targets.values()):
        states = [np.unique(y[~np.isnan(y.astype(np.float64))]) for y in targets.values()]
        if all(np.isin(state, (0, 1)).all() for state in states):
            return "labels"
    if all(y.ndim <= 2 and y.dtype.kind == "f" for y in targets.values()):
        return "values"
    return "classes"


def _one_layer(mask: np.ndarray) -> np.ndarray:
    return mask[..., 0] if mask.ndim == 4 and mask.shape[3] == 1 else mask


def _cells(target: np.ndarray, named: np.ndarray | None) -> list[Mapping[str, str]]:
    """The cells of each item by column, as a list would hold them; empty where one is nan."""
    table = target.reshape(len(target), -1).astype(np.float64)
    names = [str(name) for name in (range(table.shape[1]) if named is None else named.tolist())]
    if table.shape[1] == 1:
        names = ["value"]
    # Equal rows, of which labels have many, share their cells.
    known: dict[tuple[str, ...], Mapping[str, str]] = {}
    texts = [tuple("" if math.isnan(v) else repr(v) for v in row) for row in table.tolist()]
    return [known.setdefault(row, dict(zip(names, row, strict=True))) for row in texts]


def _masks(name: str, num: int) -> list[Item]:
    files = [{"mask": (Item(f"{name}/{row}", 0, None, (name, row)),)} for row in range(num)]
    return [Item("", 0, None, files=of_item) for of_item in files]


def _labels(path: Path, name: str, labels: np.ndarray, count: int, expected: str) -> np.ndarray:
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: {name} is {labels.dtype} of shape {labels.shape} for {count} images; "
            f"accepted: one whole number or one name an image. {expected}"
        )
    return labels


def _classes(
    path: Path, labels: Arrays, class_names: np.ndarray | None
) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """Names of the classes, and the class of each value among the labels."""
    values = sorted({value for of_set in labels.values() for value in np.unique(of_set).tolist()})
    for twice in confusable(value for value in values if isinstance(value, str)):
        raise DataError(
            f"{path}: names of classes differ only in {difference(twice)}. Use one spelling if "
            "they are one class, other names if they are two."
        )
    if class_names is None:
        if len(values) < 2:
            raise DataError(f"{path} has {len(values)} class(es); a classifier needs two or more.")
        return tuple(map(str, values)), {value: label for label, value in enumerate(values)}
    names = tuple(map(str, class_names.tolist()))
    numbers = all(isinstance(value, int) for value in values)
    index: dict[int | str, int] = {i if numbers else name: i for i, name in enumerate(names)}
    unknown = [value for value in values if value not in index]
    if unknown or len(set(names)) < len(names) or class_names.ndim != 1:
        raise DataError(
            f"{path}: class_names has {len(names)} entries ({len(set(names))} different), and the "
            f"labels {', '.join(map(str, unknown[:5])) or 'fit'}. It must be a list of different "
            "names, one for each label from 0."
        )
    return names, index
