"""The figures of one split for a report, the ledger and the terminal: any task's metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from striate.evaluation.interval import Estimate, Proportion
from striate.evaluation.metric import Scores

_PARTS = ("value", "low", "high")


@runtime_checkable
class Figures(Protocol):
    """The figures of one split."""

    @property
    def n(self) -> int:
        """Number of items."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        ...

    def headline(self) -> dict[str, Any]:
        """The figures that the ledger keeps of an opening: the headline with its interval."""
        ...

    def lines(self) -> list[str]:
        """The figures as an aligned table for a terminal."""
        ...

    def sentence(self) -> str:
        """The headline with its interval and n, in one line."""
        ...

    def notes(self) -> list[str]:
        """Sentences on what the headline does not show."""
        ...


@dataclass(frozen=True)
class Summary:
    """Each metric of a task with its interval."""

    n: int
    estimates: Mapping[str, Estimate | Proportion]
    """Estimates by name of the metric; the first is the headline."""
    confidence: float = 0.95

    @classmethod
    def of(cls, scores: Scores) -> "Summary":
        """The figures of scores, with 95 % intervals."""
        return cls(len(scores.rows), scores.estimates())

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Summary":
        """The figures back from `to_json`; a value that was undefined is nan."""
        estimates = {
            name: Estimate(
                math.nan if kept["value"] is None else kept["value"], kept["low"], kept["high"]
            )
            for name, kept in value["metrics"].items()
        }
        return cls(value["n"], estimates, value["confidence"])

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "confidence": self.confidence,
            "metrics": {
                name: {key: finite(getattr(estimate, key)) for key in _PARTS}
                for name, estimate in self.estimates.items()
            },
        }

    def headline(self) -> dict[str, Any]:
        name, estimate = next(iter(self.estimates.items()))
        low, high = finite(estimate.low), finite(estimate.high)
        return {"n": self.n, name: finite(estimate.value), "low": low, "high": high}

    def sentence(self) -> str:
        name, estimate = next(iter(self.estimates.items()))
        return f"{name} {_spell(estimate)} (95 % interval, n = {self.n:,})"

    def notes(self) -> list[str]:
        return []

    def lines(self) -> list[str]:
        width = max(len(name) for name in self.estimates)
        lines = [f"{name:<{width}}  {_spell(e)}" for name, e in self.estimates.items()]
        return [*lines, f"n = {self.n}; in brackets: {100 * self.confidence:g} % intervals"]


def _spell(estimate: Estimate | Proportion) -> str:
    text = f"{estimate.value:.4g}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:.4g}, {estimate.high:.4g}]"


def finite(value: float | None) -> float | None:
    """The value; None where it is undefined or infinite, which JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else value
