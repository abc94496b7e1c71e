"""Runs compared by the headline metric of their task."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate import durable
from striate.data.spelling import visible
from striate.evaluation.comparison import Comparison
from striate.evaluation.summary import Summary


@dataclass(frozen=True)
class MetricComparison:
    """Systems on the same items: their metric with intervals, and a paired test of each two."""

    comparison: Comparison
    split: str
    """"test" or "validation"."""
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the systems."""
        return tuple(self.comparison.estimates)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        figures = Summary(self.comparison.n, self.comparison.estimates).to_json()
        return {
            "split": self.split,
            "n": self.comparison.n,
            "metric": self.comparison.metric.name,
            "systems": figures["metrics"],
            "pairs": [pair.to_json() for pair in self.comparison.pairs],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The comparison as lines for a terminal."""
        lines = Summary(self.comparison.n, self.comparison.estimates).lines()
        for pair in self.comparison.pairs:
            gap = pair.difference
            ends = "" if gap.low is None else f" [{gap.low:+.4g}, {gap.high:+.4g}]"
            lines.append(
                f"{pair.second} against {pair.first}: {self.comparison.metric.name} "
                f"{gap.value:+.4g}{ends}, p = {pair.p:.2g}"
            )
        return lines

    def write(self, folder: Path) -> Path:
        """Write comparison.html and comparison.json into a folder; the page's path comes back."""
        text = html.escape("\n".join([*self.notes, *self.lines()]))
        title = html.escape(f"{self.comparison.metric.name} on the {self.split} split")
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<h1>{title}</h1><pre>{text}</pre></html>\n"
        )
        return write_comparison(folder, page, self.to_json())


def write_comparison(folder: Path, page: str, figures: dict[str, Any]) -> Path:
    """Write comparison.html and comparison.json into a folder; the page's path comes back."""
    path = folder / "comparison.html"
    durable.write_bytes(path, visible(page).encode())
    durable.write_json(folder / "comparison.json", figures)
    return path
