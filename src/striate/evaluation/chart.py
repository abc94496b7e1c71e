"""Charts as inline SVG: curves, the reliability diagram, bars.

Colours are CSS variables of the page, so that one drawing serves light and dark. Every point
shows its numbers when the pointer rests on it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from striate.drawing.svg import element, text
from striate.evaluation.classification.calibration import ReliabilityBin
from striate.evaluation.interval import wilson

WIDTH, HEIGHT = 330.0, 230.0
"""Units are about pixels when three charts stand side by side on a desk's screen."""

LEFT, RIGHT, TOP, BOTTOM = 48.0, 16.0, 10.0, 38.0
"""Margins; the left one is wider where the labels of the axis are long."""
_TITLE = 18.0
"""Room for the title of the vertical axis."""
_WIDTHS = {".": 3.1, ",": 3.1, "-": 4.0, "e": 6.2}
"""Widths of characters in a label, which is 11 pixels high; of all others, a digit's: 6.2."""

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
        low: Smallest value of the axis; above zero on a logarithmic one.
        high: Largest value, above `low`.
        count: Number of marks, roughly.
        log: Whether the axis is logarithmic.

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
    y_log: bool | None = None,
) -> Markup:
    """Curves over a common horizontal axis as an SVG element; empty when there are no points.

    Args:
        series: Curves; those without points are left out.
        x_label: Title of the horizontal axis.
        y_label: Title of the vertical axis.
        x_range: Ends of the horizontal axis, so that charts side by side agree; None: those of
            the points.
        zero: Whether the vertical axis begins at zero (shares, rates); otherwise it may become
            logarithmic.
        unit: Unit behind the values that a point shows, such as " %".
        x_names: Names of the positions 0, 1, ... on the horizontal axis; none: it shows numbers.
        x_log: Whether the horizontal axis is logarithmic.
        y_log: Whether the vertical axis is; None: where it does not begin at zero and the values
            are positive and far apart.
    """
    series = [item for item in series if item.points]
    if not series:
        return Markup("")
    xs = [x for item in series for x, _ in item.points]
    ys = [y for item in series for _, y in item.points]
    ys += [y for item in series for _, low, high in item.band for y in (low, high)]
    apart = not zero and min(ys) > 0 and max(ys) / min(ys) > LOG_RATIO
    log = apart if y_log is None else y_log
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
    upward = _Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    last = last if last > first else first + 1
    across = _Axis(first, last, _left(upward), WIDTH - RIGHT, x_log)
    label = f"{y_label}, logarithmic" if log else y_label
    drawn = Markup("").join(_curve(item, across, upward, x_label, unit) for item in series)
    return _chart(f"{label} over {x_label}", _axes(across, upward, x_label, label, x_names) + drawn)


def pair_figure(
    truth: Sequence[float], predicted: Sequence[float], name: str, most: int = 500
) -> Markup:
    """Pairs of numbers as points over the line on which both are equal, and how they differ.

    Args:
        truth: Numbers (N,); pairs with a nan are left out.
        predicted: Numbers (N,) that should be the same.
        name: Words for the numbers.
        most: Points that are shown at most, at even distances in the order given.
    """
    pairs = [pair for pair in zip(truth, predicted, strict=True) if all(map(math.isfinite, pair))]
    if not pairs:
        return Markup("")
    ends = min(map(min, pairs)), max(map(max, pairs))
    labels = f"true {name}", f"predicted {name}"
    equal = Series("equal", "soft", [(end, end) for end in ends])
    shown = pairs[:: math.ceil(len(pairs) / most)]
    points = Series(labels[1], "accent", shown, dots=True, line=False)
    chart = line_chart(
        [equal, points], x_label=labels[0], y_label=labels[1], x_range=ends, y_log=False
    )
    errors = np.array([b - a for a, b in pairs])
    low, middle, high = np.quantile(errors, [0.05, 0.5, 0.95])
    words = (
        f"{name}: prediction less truth is {errors.mean():+.4g} in the mean, {middle:+.4g} in the "
        f"median, {low:+.4g} to {high:+.4g} for 90 % of the {len(errors):,} images, and "
        f"{errors[abs(errors).argmax()]:+.4g} where it is farthest off; "
        f"{len(truth) - len(errors):,} images have no true value."
    )
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(chart, words)


def reliability_chart(bins: Sequence[ReliabilityBin]) -> Markup:
    """The reliability diagram as an SVG element: accuracy per bin of confidence.

    Bars on the diagonal are calibrated; the paler a bar, the fewer items it stands on. The thin
    lines are Wilson's intervals.
    """
    across = _Axis(0.0, 1.0, LEFT, WIDTH - RIGHT)
    upward = _Axis(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    most = max((item.count for item in bins), default=0) or 1
    labels = "confidence of the answer", "share that was right"
    parts = [_axes(across, upward, *labels)]
    for item in bins:
        if item.accuracy is None or item.confidence is None:
            continue
        caption = (
            f"{item.count} answers with confidence {item.low:.2f} to {item.high:.2f}: "
            f"mean confidence {item.confidence:.3f}, right {item.accuracy:.3f}"
        )
        share = wilson(round(item.accuracy * item.count), item.count)
        left, right, top = across(item.low), across(item.high), upward(item.accuracy)
        whisker = f"M{(left + right) / 2:.1f} {upward(share.low)}V{upward(share.high)}"
        bar = [
            element("title", caption),
            element(
                "rect", x=left + 1, y=top, width=right - left - 2, height=HEIGHT - BOTTOM - top,
                fill="var(--accent)",
                # The square root keeps bins with few items visible beside the fullest one.
                fill_opacity=0.12 + 0.6 * (item.count / most) ** 0.5,
            ),
            element("path", d=f"M{left + 1} {top}H{right - 1}", stroke="var(--accent)",
                    stroke_width=2),
            element("path", class_="whisker", d=whisker),
        ]  # fmt: skip
        parts.append(element("g", Markup("").join(bar)))
    diagonal = f"M{across(0)} {upward(0)}L{across(1)} {upward(1)}"
    parts.append(element("path", class_="ideal", d=diagonal))
    return _chart(f"{labels[1]} over {labels[0]}", Markup("").join(parts))


def bar_chart(shares: Mapping[str, float], label: str) -> Markup:
    """Named shares as bars in an SVG element; empty when there are none.

    Args:
        shares: Shares by name, in the order of the bars.
        label: Description for screen readers.

    Example:
        >>> "62 %" in bar_chart({"optimiser.lr": 0.62, "width": 0.38}, "importance")
        True
    """
    if not shares:
        return Markup("")
    row, names = 24, 146  # pixels: height of a bar with its gap, width of the names
    longest = (WIDTH - names - 44) / (max(shares.values()) or 1.0)  # 44 for the number
    parts = []
    for y, (name, share) in zip(range(0, row * len(shares), row), shares.items(), strict=True):
        length = round(longest * share, 1)
        parts += [
            text(name, names - 8, y + 16, text_anchor="end"),
            element("rect", x=names, y=y + 4, width=length, height=row - 8, fill="var(--accent)"),
            text(f"{100 * share:.0f} %", names + length + 6, y + 16),
        ]
    return _chart(label, Markup("").join(parts), height=len(shares) * row + 4)


def _chart(label: str, body: Markup, height: float = HEIGHT) -> Markup:
    return element(
        "svg", body, class_="chart", viewBox=f"0 0 {WIDTH:g} {height:g}", role="img",
        aria_label=label,
    )  # fmt: skip


def _left(upward: _Axis) -> float:
    """The left end of the chart: behind the title of the vertical axis and its longest label."""
    labels = _labels(ticks(upward.low, upward.high, log=upward.log))
    longest = max((sum(_WIDTHS.get(sign, 6.2) for sign in label) for label in labels), default=0)
    return max(LEFT, round(_TITLE + longest + 7, 1))


def _axes(
    across: _Axis, upward: _Axis, x_label: str, y_label: str, x_names: Sequence[str] = ()
) -> Markup:
    """Both axes: grid lines, tick labels and titles."""
    parts = []
    marks = ticks(upward.low, upward.high, log=upward.log)
    for value, label in zip(marks, _labels(marks), strict=True):
        y = upward(value)
        parts.append(element("path", class_="grid", d=f"M{across.start} {y}H{across.end}"))
        parts.append(text(label, across.start - 7, y + 4, text_anchor="end"))
    marks = ticks(across.low, across.high, log=across.log)
    if x_names:
        marks = list(map(float, range(len(x_names))))
    for value, label in zip(marks, x_names or _labels(marks), strict=True):
        parts.append(text(label, across(value), HEIGHT - BOTTOM + 17, text_anchor="middle"))
    x, y = (across.start + across.end) / 2, (TOP + HEIGHT - BOTTOM) / 2
    title = {"class_": "title", "text_anchor": "middle"}
    parts += [
        element("path", class_="axis", d=f"M{across.start} {HEIGHT - BOTTOM}H{across.end}"),
        text(x_label, x, HEIGHT - 4, **title),
        element("text", y_label, transform=f"translate(12 {y}) rotate(-90)", **title),
    ]
    return Markup("").join(parts)


def _curve(series: Series, across: _Axis, upward: _Axis, x_label: str, unit: str) -> Markup:
    parts = []
    colour = f"var(--{series.colour})"
    if series.band:
        there = [f"{across(x)} {upward(high)}" for x, _, high in series.band]
        back = [f"{across(x)} {upward(low)}" for x, low, _ in reversed(series.band)]
        outline = f"M{'L'.join(there + back)}Z"
        parts.append(element("path", d=outline, fill=colour, fill_opacity=0.16))
    points = [(across(x), upward(y)) for x, y in series.points]
    if series.line:
        way = "M" + "L".join(f"{x} {y}" for x, y in points)
        parts.append(element("path", class_="curve", d=way, stroke=colour))
    size, fill = (3, colour) if series.dots or len(points) == 1 else (5, "transparent")
    bands = {x: f" [{_short(low)}, {_short(high)}]" for x, low, high in series.band}
    for (x, y), (left, top) in zip(series.points, points, strict=True):
        caption = f"{series.name}: {_short(y)}{unit}{bands.get(x, '')} at {x_label} {_short(x)}"
        title = element("title", caption)
        parts.append(element("circle", title, cx=left, cy=top, r=size, fill=fill))
    return Markup("").join(parts)


def _labels(marks: Sequence[float]) -> list[str]:
    """The marks of an axis written as short as keeps them distinct."""
    labels = [_short(mark) for mark in marks]
    for digits in range(4, 11):  # ticks have no more digits
        if len(set(labels)) < len(labels):
            labels = [f"{mark:.{digits}g}" for mark in marks]
    return labels


def _short(value: float) -> str:
    """A number short enough for an axis."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):g}"
