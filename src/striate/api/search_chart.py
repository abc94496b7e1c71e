"""Pictures of a search: its history, the error against each setting, their importance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from striate.evaluation.chart import Series, bar_chart, line_chart
from striate.search import Space
from striate.search.trial import TrialRecord

_SHOWN_SHARE = 0.8
"""Share of the errors that charts show: the rest, of trials that failed, would press them flat."""

_LONGEST_NAME = 12
"""Characters that fit under a mark where four stand side by side."""

Points = Sequence[tuple[Any, float]]


def search_charts(
    space: Space, records: Sequence[TrialRecord], importance: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Titles and SVGs; none while no trial has been trained whole.

    Args:
        space: Settings that vary.
        records: All trials.
        importance: Importance by setting; empty while there are too few trials.
    """
    errors = {r.number: 100 * r.error for r in records if r.error is not None}
    if not errors:
        return []
    lost = [(r.number, 100 * r.errors[-1][1]) for r in records if r.state == "pruned" and r.errors]
    ordered = sorted([*errors.values(), *(error for _, error in lost)])
    top = ordered[math.ceil(_SHOWN_SHARE * len(ordered)) - 1]
    shown = {number: error for number, error in errors.items() if error <= top}
    above = len(errors) - len(shown) + sum(error > top for _, error in lost)
    left_out = f" ({above} above {top:.3g} % not shown)" if above else ""
    charts = [
        {
            "title": f"Trials, pruned ones in grey{left_out}",
            "svg": _history(list(shown.items()), [point for point in lost if point[1] <= top]),
        }
    ]
    if importance:
        title = f"Importance of the settings (rough: {len(errors)} trials)"
        charts.append({"title": title, "svg": bar_chart(importance, "importance of the settings")})
    by_number = {record.number: record for record in records}
    for dimension in space.dimensions:
        points = [
            (by_number[n].drawn[dimension.key], error)
            for n, error in shown.items()
            if dimension.key in by_number[n].drawn
        ]
        label = dimension.key + (", × the plan" if dimension.relative else "")
        if drawn := _setting(label, points, dimension.names, dimension.log):
            charts.append({"title": dimension.key, "svg": drawn})
    return charts


def _history(whole: Points, pruned: Points) -> Markup:
    """Validation errors over the trials, and the least so far."""
    last = max(n for n, _ in (*whole, *pruned))
    stairs: list[tuple[float, float]] = []
    for number, error in sorted(whole):
        if stairs:  # a value holds until the next one comes
            stairs.append((number, stairs[-1][1]))
            error = min(error, stairs[-1][1])
        stairs.append((number, error))
    if stairs:
        stairs.append((last, stairs[-1][1]))
    return line_chart(
        [
            Series("least so far", "accent", stairs),
            Series("pruned", "soft", pruned, dots=True, line=False),
            Series("trial", "second", whole, dots=True, line=False),
        ],
        x_label="trial",
        y_label="validation error, %",
        x_range=(0.0, float(max(1, last))),
        zero=True,
        unit=" %",
    )


def _setting(label: str, points: Points, names: Sequence[str], log: bool) -> Markup:
    """Validation errors of whole trials against one setting."""
    placed = [
        (float(names.index(str(value)) if names else value), error) for value, error in points
    ]
    return line_chart(
        [Series("trial", "second", placed, dots=True, line=False)],
        x_label=label,
        y_label="validation error, %",
        zero=True,
        unit=" %",
        x_names=[_short(name) for name in names],
        x_log=log,
    )


def _short(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    return f"…+{name.rsplit('+', 1)[1]}" if "+" in name else f"{name[: _LONGEST_NAME - 1]}…"
