"""The prediction for one image, as a person or a program reads it."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

OWN_COLUMNS = ("name", "problem")
"""Columns of every table of predictions."""


class Prediction:
    """The prediction for one image.

    Attributes:
        name: Name of the image, as it came.
        values: Predicted values by name; empty where the image could not be read.
        problem: Reason why the image could not be read; None when it could.
    """

    def __init__(
        self, name: str, values: Mapping[str, Any] | None, problem: str | None = None
    ) -> None:
        self.name = name
        self.values = dict(values or {})
        self.problem = problem

    def to_json(self) -> dict[str, Any]:
        """The prediction as JSON values."""
        if self.problem is not None:
            return {"name": self.name, "problem": self.problem}
        return {"name": self.name, **self.values}

    def cells(self) -> dict[str, Any]:
        """The prediction as the cells of a row of a table, by column."""
        columns = named_columns(self.values, OWN_COLUMNS, "predicted_")
        return {columns[key]: _cell(value) for key, value in self.values.items()}

    def text(self) -> str:
        """The prediction in one line, without the name."""
        return "  ".join(f"{key} {_cell(value)}" for key, value in self.values.items())

    def __repr__(self) -> str:
        if self.problem is not None:
            return f"{type(self).__name__}({self.name!r}, problem={self.problem!r})"
        return f"{type(self).__name__}({self.name!r}, {self.text()})"


def named_columns(names: Iterable[str], others: Collection[str], prefix: str) -> dict[str, str]:
    """Columns of a table for names that come from the data, such as those of classes.

    Each has its own name; where one of them is that of another column, all begin with a prefix.

    Args:
        names: Names from the data.
        others: Names of the other columns, in lower case.
        prefix: Text with which no other column begins.

    Example:
        >>> named_columns(["cat", "label"], ["label"], "p_")
        {'cat': 'p_cat', 'label': 'p_label'}
    """
    names = list(names)
    clash = any(name.strip().lower() in others for name in names)
    return {name: f"{prefix}{name}" if clash else name for name in names}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, (str, int)) or value is None else json.dumps(value)
