"""The pictures of a search: its history, the error against each setting, their importance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from striate.evaluation.trial_chart import history_chart, importance_chart, setting_chart
from striate.search import Choices, Space
from striate.search.trial import TrialRecord

__all__ = ["search_charts"]

_SHOWN_SHARE = 0.8
"""Of the errors that charts show: those that failed wholly would press the rest flat."""


def search_charts(
    space: Space, records: Sequence[TrialRecord], importance: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Titles and SVGs; none while no trial has been trained whole.

    Args:
        space: what varies.
        records: all trials.
        importance: by setting; empty while there are too few trials.
    """
    errors = {r.number: 100 * r.told["wrong"] / r.told["n"] for r in records if r.state == "whole"}
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
            "title": f"Trials, given up ones in grey{left_out}",
            "svg": history_chart(list(shown.items()), [point for point in lost if point[1] <= top]),
        }
    ]
    if importance:
        title = f"Importance of the settings (rough: {len(errors)} trials)"
        charts.append({"title": title, "svg": importance_chart(importance)})
    by_number = {record.number: record for record in records}
    for dimension in space.dimensions:
        points = [
            (by_number[n].drawn[dimension.key], error)
            for n, error in shown.items()
            if dimension.key in by_number[n].drawn
        ]
        names = dimension.labels if isinstance(dimension, Choices) else ()
        unit = ", × the plan" if dimension.relative else ""
        drawn = setting_chart(
            dimension.key + unit,
            points,
            names=names,
            log=not isinstance(dimension, Choices) and dimension.log,
        )
        if drawn:
            charts.append({"title": dimension.key, "svg": drawn})
    return charts
