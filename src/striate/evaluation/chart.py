"""Charts as inline SVG: curves over the training, and the reliability diagram.

Colours are CSS variables of the page, so that one drawing serves light and dark. Every point
tells its numbers when the pointer rests on it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from striate.evaluation.calibration import ReliabilityBin
from striate.evaluation.interval import wilson

__all__ = ["Series", "line_chart", "reliability_chart", "thinned", "ticks"]

WIDTH, HEIGHT = 330.0, 230.0
"""Units are about pixels when three charts stand side by side on a desk's screen."""

LEFT, RIGHT, TOP, BOTTOM = 48.0, 16.0, 10.0, 38.0
"""Margins leave room for tick labels of five characters and an axis title."""

LOG_RATIO = 30
"""A loss that falls by more than this would lie flat on the axis: it gets a logarithmic one."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One curve: (x, y) points in order, optionally with a band (x, low, high) around it."""

    name: str
    colour: str
    """Name of a CSS variable of the page: accent, second or soft."""
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = False
    line: bool = True
    """Join the points."""


@dataclass(frozen=True)
class _Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)


def ticks(low: float, high: float, count: int = 5, *, log: bool = False) -> list[float]:
    """Round values between low and high: multiples of 1, 2 or 5 times a power of ten.

    Args:
        low: smallest value of the axis; above zero on a logarithmic one.
        high: largest value, above `low`.
        count: about how many are wanted.
        log: for a logarithmic axis.

    Example:
        >>> ticks(0.0, 930.0)
        [0.0, 200.0, 400.0, 600.0, 800.0]
        >>> ticks(0.02, 3.0, log=True)
        [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    """
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if len(powers) <= count else (1,)
        marks = [float(f"{step}e{power}") for power in powers for step in steps]
        return [mark for mark in marks if low <= mark <= high]
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    step = next(m * power for m in (1, 2, 5, 10) if (high - low) / (m * power) <= count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    # Through text, so that 3 × 0.1 is 0.3.
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def thinned(points: Sequence[Point], most: int = 160) -> list[Point]:
    """The curve with at most `most` points, each the mean of equally many neighbours.

    Points that are not finite are left out.

    Example:
        >>> thinned([(1.0, 4.0), (2.0, 6.0), (3.0, 1.0), (4.0, 2.0)], most=2)
        [(1.5, 5.0), (3.5, 1.5)]
    """
    finite = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    group = max(1, math.ceil(len(finite) / most))
    parts = [finite[start : start + group] for start in range(0, len(finite), group)]
    return [
        (math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part))
        for part in parts
    ]


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    zero: bool = False,
    unit: str = "",
    x_names: Sequence[str] = (),
    x_log: bool = False,
) -> Markup:
    """Curves over a common horizontal axis as an SVG element; empty when there are no points.

    Args:
        series: the curves; those without points are left out.
        x_label: what runs from left to right.
        y_label: what runs upwards.
        x_range: ends of the horizontal axis, so that charts side by side agree; None: of the
            points.
        zero: let the vertical axis begin at zero (shares, rates); otherwise it may become
            logarithmic.
        unit: added to the values that a point tells, such as " %".
        x_names: names of the places 0, 1, ... on the horizontal axis; none: it shows numbers.
        x_log: equal ratios are equal distances on the horizontal axis.
    """
    series = [item for item in series if item.points]
    if not series:
        return Markup("")
    xs = [x for item in series for x, _ in item.points]
    ys = [y for item in series for _, y in item.points]
    ys += [y for item in series for _, low, high in item.band for y in (low, high)]
    log = not zero and min(ys) > 0 and max(ys) / min(ys) > LOG_RATIO
    low, high = (min(0.0, *ys) if zero else min(ys)), max(ys)
    # An axis that shows less than 1 % of its values would blow noise up to a curve, and its
    # labels would need more digits than the margin has room for.
    short = 0.01 * abs(high) - (high - low)
    if short > 0:
        low, high = low - short / 2, high + short / 2
    if not log:
        high += 0.05 * ((high - low) or abs(high) or 1.0)
    elif high == low:
        high = low * 10
    first, last = x_range or (min(xs), max(xs))
    if x_names:
        first, last = -0.5, len(x_names) - 0.5  # room for the names at both ends
    across = _Axis(first, last if last > first else first + 1, LEFT, WIDTH - RIGHT, x_log)
    upward = _Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    label = f"{y_label}, logarithmic" if log else y_label
    drawn = Markup("").join(_curve(item, across, upward, x_label, unit) for item in series)
    return _frame(across, upward, x_label, label, x_names) + drawn + Markup("</svg>")


def reliability_chart(bins: Sequence[ReliabilityBin]) -> Markup:
    """The reliability diagram as an SVG element: accuracy per bin of confidence.

    Bars on the diagonal are calibrated; the paler a bar, the fewer items it stands on. The thin
    lines are Wilson's intervals.
    """
    across = _Axis(0.0, 1.0, LEFT, WIDTH - RIGHT)
    upward = _Axis(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    most = max((item.count for item in bins), default=0) or 1
    parts = [_frame(across, upward, "confidence of the answer", "share that was right")]
    for item in bins:
        if item.accuracy is None or item.confidence is None:
            continue
        told = (
            f"{item.count} answers with confidence {item.low:.2f} to {item.high:.2f}: "
            f"mean confidence {item.confidence:.3f}, right {item.accuracy:.3f}"
        )
        share = wilson(round(item.accuracy * item.count), item.count)
        left, right, top = across(item.low), across(item.high), upward(item.accuracy)
        # The square root keeps bins with few items visible beside the fullest one.
        parts.append(
            Markup(
                '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" '
                'fill="var(--accent)" fill-opacity="{}"/>'
                '<path d="M{} {}H{}" stroke="var(--accent)" stroke-width="2"/>'
                '<path class="whisker" d="M{} {}V{}"/></g>'
            ).format(
                told,
                left + 1,
                top,
                round(right - left - 2, 1),
                round(HEIGHT - BOTTOM - top, 1),
                round(0.12 + 0.6 * (item.count / most) ** 0.5, 2),
                left + 1,
                top,
                right - 1,
                round((left + right) / 2, 1),
                upward(share.low),
                upward(share.high),
            )
        )
    parts.append(
        Markup('<path class="ideal" d="M{} {}L{} {}"/></svg>').format(
            across(0), upward(0), across(1), upward(1)
        )
    )
    return Markup("").join(parts)


def _frame(
    across: _Axis, upward: _Axis, x_label: str, y_label: str, x_names: Sequence[str] = ()
) -> Markup:
    """The opening of the SVG with both axes, grid lines, tick labels and titles."""
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, f"{y_label} over {x_label}"
        )
    ]
    marks = ticks(upward.low, upward.high, log=upward.log)
    for value, label in zip(marks, _labels(marks), strict=True):
        y = upward(value)
        parts.append(
            Markup(
                '<path class="grid" d="M{} {}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
            ).format(LEFT, y, WIDTH - RIGHT, LEFT - 7, y + 4, label)
        )
    marks = ticks(across.low, across.high, log=across.log)
    if x_names:
        marks = list(map(float, range(len(x_names))))
    for value, label in zip(marks, x_names or _labels(marks), strict=True):
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                across(value), HEIGHT - BOTTOM + 17, label
            )
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        Markup(
            '<path class="axis" d="M{} {}H{}"/>'
            '<text class="title" x="{}" y="{}" text-anchor="middle">{}</text>'
            '<text class="title" transform="translate(12 {}) rotate(-90)" '
            'text-anchor="middle">{}</text>'
        ).format(
            LEFT,
            HEIGHT - BOTTOM,
            WIDTH - RIGHT,
            (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 4,
            x_label,
            middle,
            y_label,
        )
    )
    return Markup("").join(parts)


def _curve(series: Series, across: _Axis, upward: _Axis, x_label: str, unit: str) -> Markup:
    parts = []
    if series.band:
        there = [f"{across(x)} {upward(high)}" for x, _, high in series.band]
        back = [f"{across(x)} {upward(low)}" for x, low, _ in reversed(series.band)]
        parts.append(
            Markup('<path d="M{}Z" fill="var(--{})" fill-opacity="0.16"/>').format(
                "L".join(there + back), series.colour
            )
        )
    places = [(across(x), upward(y)) for x, y in series.points]
    if series.line:
        parts.append(
            Markup('<path class="curve" d="M{}" stroke="var(--{})"/>').format(
                "L".join(f"{x} {y}" for x, y in places), series.colour
            )
        )
    visible = series.dots or len(places) == 1
    bands = {x: f" [{_spell(low)}, {_spell(high)}]" for x, low, high in series.band}
    for (x, y), (left, top) in zip(series.points, places, strict=True):
        told = f"{series.name}: {_spell(y)}{unit}{bands.get(x, '')} at {x_label} {_spell(x)}"
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"><title>{}</title></circle>').format(
                left, top, 3 if visible else 5, _fill(series.colour, visible), told
            )
        )
    return Markup("").join(parts)


def _fill(colour: str, visible: bool) -> str:
    return f"var(--{colour})" if visible else "transparent"


def _labels(marks: Sequence[float]) -> list[str]:
    """The marks of an axis spelt as short as keeps them distinct."""
    labels = [_spell(mark) for mark in marks]
    digits = 4
    while len(set(labels)) < len(labels) and digits <= 10:  # ticks have no more digits
        labels = [f"{mark:.{digits}g}" for mark in marks]
        digits += 1
    return labels


def _spell(value: float) -> str:
    """A number short enough for an axis."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):g}"
