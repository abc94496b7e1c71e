"""One or several numbers for each image."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.field.field import Column, Field
from striate.data.spelling import enumerated
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source

MOST_CLASSES = 50
"""So many different whole numbers may be the names of classes; more of them are values."""
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""Cells, in lower case, that hold no number because it is not known."""
_OTHERS = frozenset({"mask", "boxes", "points", "text", "labels"})
"""Columns that other fields are read from, even where they look like numbers."""
_STRATA, _LEAST = 10, 10
"""Groups of similar values at most, and items in each at least."""
_TOLD = 10


class Value(Field):
    """Numbers; values are (T,) float64, NaN where a number is missing.

    Args:
        names: Names of the T numbers, which are columns of the list that holds them.
    """

    kind = "value"
    batch_dtype = np.float32

    @classmethod
    def of(cls, source: "Source", name: str, columns: Sequence[str] = ()) -> "Value":
        """The numbers that a source names.

        Args:
            source: Data whose items hold them.
            name: Column that is taken where the source has it.
            columns: Columns to take in any case; none: the column `name`, else the labels where
                they are numbers, else all further columns of numbers.
        """
        seen = {key: None for item in source.items for key in item.columns or ()}
        names = list(columns) or _columns(source, name, seen)
        problems = [f"has no column {column!r}" for column in names if column not in seen]
        if problems or not names:
            raise DataError(
                f"{source.title} {' and '.join(problems) or 'holds no numbers'}; its columns are "
                f"{enumerated(list(seen)) or 'none'}. Give a list (CSV or JSON) with a column of "
                f"numbers, such as path,{name}, or numbers in the names of the files: "
                "--target-pattern '*_{" + name + "}.jpg'."
            )
        _check(source, names)
        return cls(names)

    def read(self, item: "Item") -> np.ndarray:
        cells = [(item.columns or {}).get(name, "") for name in self.names]
        return np.array([math.nan if is_missing(cell) else float(cell) for cell in cells])

    def strata(self, column: Column) -> tuple[Sequence[int], tuple[str, ...]]:
        """Groups of about equally many items by the first number, missing ones at its median."""
        first = np.asarray(column, dtype=np.float64)[:, 0]
        groups = max(1, min(_STRATA, len(first) // _LEAST))
        if groups == 1 or np.isnan(first).all():
            return [0] * len(first), ()
        filled = np.where(np.isnan(first), np.nanmedian(first), first)
        edges = np.quantile(filled, np.arange(1, groups) / groups)
        strata: list[int] = np.searchsorted(edges, filled, side="left").tolist()
        return strata, ()

    def statistics(self, column: Column) -> dict[str, list[float]]:
        """Mean, standard deviation (1 where all are equal) and median of each number (T,).

        Raises:
            DataError: all numbers of one name are missing.
        """
        table = np.asarray(column, dtype=np.float64)
        known = [numbers[~np.isnan(numbers)] for numbers in table.T]
        lacking = [
            name for name, numbers in zip(self.names, known, strict=True) if not len(numbers)
        ]
        if lacking:
            raise DataError(f"No training image has a number in {enumerated(lacking)}.")
        return {
            "mean": [float(numbers.mean()) for numbers in known],
            "std": [float(numbers.std()) if np.ptp(numbers) else 1.0 for numbers in known],
            "median": [float(np.median(numbers)) for numbers in known],
        }

    def encode(self, column: Column) -> list[Any]:
        # JSON has no NaN.
        return [[None if math.isnan(v) else v for v in row] for row in np.asarray(column).tolist()]

    def decode(self, values: list[Any]) -> Column:
        return np.array(values, dtype=np.float64).reshape(len(values), len(self.names))

    def summary(self, column: Column) -> str:
        return "; ".join(map(_span, self.names, np.asarray(column).T))


def is_missing(cell: str) -> bool:
    """Whether a cell holds no number because it is not known: empty, NaN, NA, null or none."""
    return cell.strip().lower() in _MISSING


def number(cell: str) -> float | None:
    """The finite number that a cell holds; None where it holds none.

    Example:
        >>> number(" 3.5 "), number("3,5"), number("inf")
        (3.5, None, None)
    """
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def are_numbers(names: Iterable[str]) -> bool:
    """Whether there are names and all of them are numbers, such as those of class folders."""
    names = list(names)
    return bool(names) and all(number(name) is not None for name in names)


def are_values(names: Iterable[str]) -> bool:
    """Whether names of classes are evidently values: numbers, not all whole or more than 50.

    Example:
        >>> are_values(["1.5", "2", "2.5"]), are_values(["0", "1", "2"])
        (True, False)
    """
    different = set(names)
    if not are_numbers(different):
        return False
    return len(different) > MOST_CLASSES or not all(float(n).is_integer() for n in different)


def numeric_columns(items: Iterable["Item"]) -> dict[str, set[float]]:
    """The further columns of items that hold numbers, with the different numbers of each.

    A column of which more than half of the cells are numbers is one: what else is in it was
    mistyped.
    """
    numbers: dict[str, set[float]] = {}
    surplus: Counter[str] = Counter()
    for item in items:
        for key, cell in (item.columns or {}).items():
            different = numbers.setdefault(key, set())
            if not is_missing(cell):
                value = number(cell)
                surplus[key] += 1 if value is not None else -1
                different.update(() if value is None else (value,))
    return {key: different for key, different in numbers.items() if key and surplus[key] > 0}


def why_values(source: "Source") -> str | None:
    """The reason why a source evidently has values, and no classes; else None."""
    if source.class_names:
        if not are_values(source.class_names):
            return None
        return f"the labels are {len(source.class_names):,} different numbers"
    numbers = numeric_columns(source.items)
    further = {key for item in source.items for key in item.columns or () if key}
    if not numbers or ("value" not in numbers and (further - set(numbers) or further & _OTHERS)):
        return None
    if len(numbers) > 1 and all(different <= {0.0, 1.0} for different in numbers.values()):
        return None  # yes or no for each name
    names = ["value"] if "value" in numbers else list(numbers)
    return f"there are numbers in {enumerated(names, most=4)}, and no classes"


def _columns(source: "Source", name: str, seen: Iterable[str]) -> list[str]:
    """The columns of numbers that a source has, in its order."""
    for single in (name, "label"):
        if single in seen:
            return [single]
    return list(numeric_columns(source.items))


def _check(source: "Source", names: Sequence[str]) -> None:
    """Refuse cells that are no numbers, by their lines, and columns that tell nothing."""
    wrong = []
    for item in source.items:
        for name in names:
            cell = (item.columns or {}).get(name, "")
            if not is_missing(cell) and number(cell) is None:
                wrong.append((item, f"{name} is {cell!r}"))
    if wrong:
        positions = source.where([item for item, _ in wrong[:_TOLD]])
        lines = [
            f"{position}: {what}." for position, (_, what) in zip(positions, wrong, strict=False)
        ]
        more = [f"and {len(wrong) - _TOLD} more"] if len(wrong) > _TOLD else []
        accepted = "Accepted: numbers such as 3.5 or -2e4, and empty cells where one is missing."
        raise DataError("\n".join([f"{source.origin}:", *lines, *more, accepted]))
    numbers = numeric_columns(source.items)
    for name in names:
        if len(numbers.get(name, ())) < 2:
            shown = ", ".join(f"{value:g}" for value in numbers.get(name, ())) or "missing"
            raise DataError(
                f"{source.origin}: all numbers in {name!r} are {shown}: there is nothing to learn."
            )


def _span(name: str, numbers: np.ndarray) -> str:
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return f"{name} all missing"
    missing = len(numbers) - len(known)
    note = f", {missing:,} missing" if missing else ""
    return f"{name} {known.min():g} to {known.max():g}{note}"
