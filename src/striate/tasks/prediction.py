"""The prediction for one image, as a person or a program reads it."""

import json
from collections.abc import Mapping
from typing import Any


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
        return {key: _cell(value) for key, value in self.values.items()}

    def text(self) -> str:
        """The prediction in one line, without the name."""
        return "  ".join(f"{key} {_cell(value)}" for key, value in self.values.items())

    def __repr__(self) -> str:
        if self.problem is not None:
            return f"{type(self).__name__}({self.name!r}, problem={self.problem!r})"
        return f"{type(self).__name__}({self.name!r}, {self.text()})"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, (str, int)) or value is None else json.dumps(value)
