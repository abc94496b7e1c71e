"""A trial of a search as people and programs read it."""

from collections.abc import Sequence
from typing import Any

from striate.evaluation import Proportion, percent, wilson
from striate.search import Choices, Dimension, Space
from striate.search.trial import TrialRecord

__all__ = ["columns", "ending", "is_plan", "row", "share", "spelt", "standing", "to_json"]


def share(record: TrialRecord, *, looks: int = 1) -> Proportion:
    """The validation error of a trial trained whole, with its interval.

    Args:
        record: of the trial.
        looks: trials for all of which the interval is to hold at once (Bonferroni).
    """
    return wilson(record.told["wrong"], record.told["n"], confidence=1 - 0.05 / looks)


def standing(record: TrialRecord) -> tuple[float, float, int]:
    """The sort key of whole trials: error, then loss, then number."""
    loss = record.told.get("loss")
    return share(record).value, float("inf") if loss is None else loss, record.number


def to_json(record: TrialRecord) -> dict[str, Any]:
    """The trial as JSON values."""
    found = {"trial": record.number, "state": record.state, **record.told}
    if record.state == "whole":
        error = share(record)
        found |= {"error": error.value, "low": error.low, "high": error.high}
    return found | {"drawn": dict(record.drawn), "on_the_way": [list(e) for e in record.errors]}


def is_plan(record: TrialRecord, space: Space) -> bool:
    """Whether it is what `train` would follow."""
    plan = space.plan_drawn()
    return bool(plan) and all(
        record.drawn.get(d.key) == _label(d, plan[d.key]) for d in space.dimensions if d.key in plan
    )


def columns(space: Space) -> list[str]:
    """Headings of `row`."""
    return ["trial", "error", "95 % interval", "wrong", *(d.key for d in space.dimensions)]


def row(record: TrialRecord, space: Space) -> list[str]:
    """A trial trained whole as cells of a table."""
    error = share(record)
    plan = " (the plan)" if is_plan(record, space) else ""
    return [
        f"{record.number}{plan}",
        f"{percent(error.value)} %",
        f"{percent(error.low)} to {percent(error.high)} %",
        f"{error.count:,} of {error.n:,}",
        *spelt(record, [d.key for d in space.dimensions]),
    ]


def spelt(record: TrialRecord, keys: Sequence[str]) -> list[str]:
    """The settings of a trial; empty where it does not have one."""
    values = record.told.get("values", {})
    return [_number(key, values[key]) if key in values else "" for key in keys]


def ending(record: TrialRecord) -> str:
    """How a trial ended that was not trained whole."""
    if record.state == "running":
        return "under way"
    return str(record.told.get("ended") or record.told.get("reason") or record.state)


def _label(dimension: Dimension, value: Any) -> Any:
    if isinstance(dimension, Choices):
        return dimension.labels[dimension.values.index(value)]
    return value


def _number(key: str, value: Any) -> str:
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"×{said}" if key == "width" else said
