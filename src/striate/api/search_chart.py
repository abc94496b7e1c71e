"""Pictures of a search: its history, the metric against each setting, their importance."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from striate.evaluation.chart import Series, bar_chart, line_chart
from striate.evaluation.metric import Metric
from striate.search import Space
from striate.search.trial import TrialRecord

_SHOWN_SHARE = 0.8
"""Share of the values that charts show: the rest, the worst, would press them flat."""

_LONGEST_NAME = 12
"""Characters that fit under a mark where four stand side by side."""

Points = Sequence[tuple[Any, float]]


def search_charts(
    space: Space,
    records: Sequence[TrialRecord],
    importance: Mapping[str, float],
    metric: Metric,
    *,
    is_share: bool,
) -> list[dict[str, Any]]:
    """Titles and SVGs of a search of which a trial has been trained whole.

    Args:
        space: Settings that vary.
        records: All trials.
        importance: Importance by setting; empty while there are too few trials.
        metric: Headline metric.
        is_share: Whether it is a share of items, to be shown in percent.
    """
    scale, unit = (100, " %") if is_share else (1, "")
    chart = partial(
        line_chart, y_label=f"validation {metric.name}{',' * is_share}{unit}", zero=True, unit=unit
    )
    whole = {r.number: scale * r.value for r in records if r.value is not None}
    lost = [(r.number, scale * r.curve[-1][1]) for r in records if r.state == "pruned" and r.curve]
    ordered = sorted(
        [*whole.values(), *(value for _, value in lost)], reverse=not metric.lower_is_better
    )
    worst = ordered[math.ceil(_SHOWN_SHARE * len(ordered)) - 1]
    good = set(ordered[: ordered.index(worst) + ordered.count(worst)])
    shown = {number: value for number, value in whole.items() if value in good}
    beyond = len(whole) - len(shown) + sum(value not in good for _, value in lost)
    side = "above" if metric.lower_is_better else "below"
    left_out = f" ({beyond} {side} {worst:.3g}{unit} not shown)" if beyond else ""
    best = min if metric.lower_is_better else max
    pruned = [point for point in lost if point[1] in good]
    charts = [
        {
            "title": f"Trials, pruned ones in grey{left_out}",
            "svg": _history(chart, list(shown.items()), pruned, best),
        }
    ]
    if importance:
        title = f"Importance of the settings (rough: {len(whole)} trials)"
        charts.append({"title": title, "svg": bar_chart(importance, "importance of the settings")})
    by_number = {record.number: record for record in records}
    for dimension in space.dimensions:
        names = dimension.names
        points = [
            (float(names.index(str(drawn)) if names else drawn), value)
            for n, value in shown.items()
            if (drawn := by_number[n].drawn.get(dimension.key)) is not None
        ]
        svg = chart(
            [Series("trial", "second", points, dots=True, line=False)],
            x_label=dimension.key + (", × the plan" if dimension.relative else ""),
            x_names=[_short(name) for name in names],
            x_log=dimension.log,
        )
        if svg:
            charts.append({"title": dimension.key, "svg": svg})
    return charts


def _history(chart: Callable[..., Markup], whole: Points, pruned: Points, best: Any) -> Markup:
    """Validation metrics over the trials, and the best so far."""
    last = max(n for n, _ in (*whole, *pruned))
    stairs: list[tuple[float, float]] = []
    for number, value in sorted(whole):
        if stairs:  # a value holds until the next one comes
            stairs.append((number, stairs[-1][1]))
            value = best(value, stairs[-1][1])
        stairs.append((number, value))
    if stairs:
        stairs.append((last, stairs[-1][1]))
    return chart(
        [
            Series("best so far", "accent", stairs),
            Series("pruned", "soft", pruned, dots=True, line=False),
            Series("trial", "second", whole, dots=True, line=False),
        ],
        x_label="trial",
        x_range=(0.0, float(max(1, last))),
    )


def _short(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    return f"…+{name.rsplit('+', 1)[1]}" if "+" in name else f"{name[: _LONGEST_NAME - 1]}…"
