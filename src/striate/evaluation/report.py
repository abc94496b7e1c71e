"""The report of a run: the same facts for a person and for a program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate import durable

__all__ = ["write"]


def write(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write report.json into a run folder, whole or not at all; its path comes back."""
    path = Path(folder) / "report.json"
    durable.write_json(path, dict(report))
    return path
