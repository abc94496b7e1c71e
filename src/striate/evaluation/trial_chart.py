"""Charts of a search as inline SVG: errors over the trials, importance, error against a setting."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from striate.evaluation.chart import Series, line_chart

__all__ = ["history_chart", "importance_chart", "setting_chart"]

_ROW, _LABEL, _WIDTH = 24, 146, 330
"""Pixels: of a bar with its gap, of the names, of the whole, which is that of the other charts."""
_LONGEST_NAME = 12
"""Characters that fit under a mark where four stand side by side."""


def history_chart(
    whole: Sequence[tuple[int, float]], given_up: Sequence[tuple[int, float]]
) -> Markup:
    """Validation errors over the trials, and the least so far, as an SVG element.

    Args:
        whole: (trial, error in percent) of those trained to their end.
        given_up: the same of the others, with their last error.
    """
    best: list[tuple[float, float]] = []
    for number, error in sorted(whole):
        best.append((number, min(error, best[-1][1] if best else error)))
    last = max((n for n, _ in (*whole, *given_up)), default=0)
    if best:
        best.append((float(last), best[-1][1]))
    return line_chart(
        [
            Series("least so far", "accent", _stairs(best)),
            Series("given up", "soft", [(float(n), e) for n, e in given_up], dots=True, line=False),
            Series("trial", "second", [(float(n), e) for n, e in whole], dots=True, line=False),
        ],
        x_label="trial",
        y_label="validation error, %",
        x_range=(0.0, float(max(1, last))),
        zero=True,
        unit=" %",
    )


def setting_chart(
    name: str,
    points: Sequence[tuple[float | str, float]],
    *,
    names: Sequence[str] = (),
    log: bool = False,
) -> Markup:
    """Validation errors of whole trials against one setting, as an SVG element.

    Args:
        name: of the setting.
        points: (value, error in percent); a value is one of `names` where there are any.
        names: of the choices, in the order of the axis.
        log: equal ratios are equal distances.
    """
    placed = [
        (float(names.index(str(value)) if names else value), error) for value, error in points
    ]
    return line_chart(
        [Series("trial", "second", placed, dots=True, line=False)],
        x_label=name,
        y_label="validation error, %",
        zero=True,
        unit=" %",
        x_names=[_short(choice) for choice in names],
        x_log=log,
    )


def importance_chart(shares: Mapping[str, float]) -> Markup:
    """The share of each setting in what makes a trial good, as bars in an SVG element.

    Args:
        shares: by setting, the largest first; together 1.

    Example:
        >>> "62 %" in importance_chart({"optimiser.lr": 0.62, "width": 0.38})
        True
    """
    if not shares:
        return Markup("")
    most = max(shares.values()) or 1.0
    room = _WIDTH - _LABEL - 44  # for the number behind the bar
    rows = []
    for place, (name, share) in enumerate(shares.items()):
        y, length = place * _ROW, round(room * share / most, 1)
        rows.append(
            Markup(
                '<text x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect x="{}" y="{}" width="{}" height="{}" fill="var(--accent)"/>'
                '<text x="{}" y="{}">{}</text>'
            ).format(
                _LABEL - 8,
                y + 16,
                name,
                _LABEL,
                y + 4,
                length,
                _ROW - 8,
                _LABEL + length + 6,
                y + 16,
                f"{share:.0%}".replace("%", " %"),
            )
        )
    opening = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="importance of the settings">'
    ).format(_WIDTH, len(shares) * _ROW + 4)
    return opening + Markup("").join(rows) + Markup("</svg>")


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A value holds until the next one comes."""
    steps: list[tuple[float, float]] = []
    for x, y in points:
        if steps:
            steps.append((x, steps[-1][1]))
        steps.append((x, y))
    return steps


def _short(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    return f"…+{name.rsplit('+', 1)[1]}" if "+" in name else f"{name[: _LONGEST_NAME - 1]}…"
