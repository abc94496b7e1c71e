"""Estimators train as people call them; the annotations of the parts are checked elsewhere."""

from typecheck import annotations_unchecked  # noqa: F401 - a fixture
