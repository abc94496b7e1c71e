"""The report of a run: one page for a person, and the same facts as JSON for a program."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from striate import durable
from striate.evaluation.chart import Series, line_chart, reliability_chart, thinned
from striate.evaluation.classification.calibration import ReliabilityBin
from striate.evaluation.classification.loss import FEW_MISTAKES
from striate.evaluation.classification.measure import Measures
from striate.evaluation.interval import Estimate
from striate.evaluation.picture import data_uri
from striate.evaluation.text import most_confused, number, percent

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "page_parts", "render", "selective_chart", "write"]

Report = Mapping[str, Any]

READABLE_CLASSES = 30
"""A matrix of counts with more classes than this is a picture and a list of pairs instead."""

TINY = 96
"""Images smaller than this are enlarged with their pixels kept square."""

MEASURE_ROWS = (
    ("balanced_accuracy", "balanced accuracy", True),
    ("macro_f1", "macro F1", True),
    ("auc", "AUC, one against the rest", False),
    ("negative_log_likelihood", "negative log-likelihood", False),
    ("brier_score", "Brier score", False),
    ("calibration_error", "expected calibration error", True),
)
"""Estimates of a table of measures: field, name, whether in percent."""

OPTIONAL: dict[str, Any] = {
    "run": {
        "choices": [],
        "versions": {},
        "hardware": {},
        "status": "finished",
        "config": {},
        "warnings": [],
    },
    "data": {
        "licence": None,
        "examples": [],
        "notes": [],
        "broken": [],
        "leaks": {"num_test": 0},
        "digest": None,
        "test_origin": None,
        "test_openings": 0,
    },
    "network": {"text": None},
    "curves": {"train": [], "validation": [], "lr": [], "unit": "step"},
    "test": None,
    "calibration": None,
    "selective": None,
    "notes": [],
    "mistakes": [],
    "confident_mistakes": [],
}
"""What a report may leave out, and what stands for it."""


def render(report: Report) -> str:
    """The report as one HTML page that loads nothing from elsewhere.

    Args:
        report: JSON values: "title", "run", "data", "network", "curves", "validation"
            (`Measures.to_json`), "test" (None, or "measures", "opening", "ledger" and
            "findings"), "mistakes" and "confident_mistakes"; docs/evaluation.md lists them all.
            Names and texts may hold anything: all of them are escaped.
    """
    told = _completed(report)
    test = told["test"]
    shown = Measures.from_json(test["measures"] if test else told["validation"])
    height, width = told["data"]["input_size"]
    page = environment().get_template("report.html.j2")
    return page.render(
        **told,
        **page_parts(shown, told["calibration"], told["selective"]),
        validated=Measures.from_json(told["validation"]),
        shown_name="test" if test else "validation",
        charts=_charts(told["curves"]),
        tiny=max(height, width) < TINY,
    )


def page_parts(
    shown: Measures,
    calibration: Mapping[str, Any] | None,
    selective: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the templates need to show measures: tables, diagrams, the matrix.

    Args:
        shown: the measures.
        calibration: JSON of calibration before and after, if there is any.
        selective: JSON of the curve and thresholds of abstention, if there is any.
    """
    return {
        "shown": shown,
        "rows": MEASURE_ROWS,
        "few_mistakes": bool(shown.reliability) and shown.error.count <= FEW_MISTAKES,
        "reliability": _reliability(calibration, shown),
        "selective_chart": selective_chart(selective),
        "matrix": _matrix(shown) if len(shown.class_names) <= READABLE_CLASSES else None,
        "matrix_picture": _matrix_picture(shown),
        "confused": most_confused(shown, limit=12),
    }


def write(folder: Path, report: Report) -> Path:
    """Write report.html and report.json into a folder; the path of the page comes back.

    Each is written whole or not at all, the page last: where it lies, all of a run does.
    report.json holds the same facts without the pictures.

    Args:
        folder: the run's folder.
        report: as for `render`.
    """
    page = Path(folder) / "report.html"
    html = render(report).encode()
    durable.write_json(Path(folder) / "report.json", _without_pictures(report))
    durable.write_bytes(page, html)
    return page


def _completed(report: Report) -> dict[str, Any]:
    told = dict(report)
    for key, standing in OPTIONAL.items():
        given = told.get(key)
        if isinstance(standing, dict):
            told[key] = {**standing, **(given or {})}
        else:
            told[key] = standing if given is None else given
    return told


PICTURES = ("image", "images")
"""Keys whose values are data URIs."""


def _without_pictures(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_pictures(item) for key, item in value.items() if key not in PICTURES}
    if isinstance(value, (list, tuple)):
        return [_without_pictures(item) for item in value]
    # JSON has no NaN: a loss that was not finite is null.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def environment(*packages: str) -> "Environment":
    """The templates of pages, with the filters that spell numbers.

    Args:
        packages: whose templates are sought before those of the evaluation.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader(each, "templates") for each in (*packages, "striate.evaluation")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda value: percent(float(value)),
        "number": lambda value: number(float(value)),
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "duration": lambda value: _duration(float(value)),
        "moment": lambda value: str(value)[:16].replace("T", " "),
        "thousands": lambda value: f"{value:,}",
        "spell": _spell,
        "points": _points,
        "chance": lambda p: f"{p:.2g}" if p >= 1e-4 else "< 0.0001",
    }
    return environment


def _charts(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The curves as drawings with their captions; those without points are left out."""
    unit = str(curves["unit"])
    validation = _floats(curves["validation"])
    train, rates = _floats(curves["train"]), _floats(curves["lr"])
    loss = [
        Series("training loss", "soft", thinned([(x, y) for x, y in train])),
        Series("validation loss", "accent", [(x, y) for x, y, *_ in validation], dots=True),
    ]
    errors = Series(
        "validation error",
        "accent",
        [(x, 100 * error) for x, _, error, _, _ in validation],
        band=[(x, 100 * low, 100 * high) for x, _, _, low, high in validation],
        dots=True,
    )
    rate = Series("learning rate", "second", thinned([(x, y) for x, y in rates]))
    last = max(
        (float(p[0]) for key in ("train", "validation", "lr") for p in curves[key]), default=1
    )
    draw = partial(line_chart, x_label=unit, x_range=(0.0, float(last)))
    drawings = [
        ("Loss", loss, draw(loss, y_label="loss")),
        ("Validation error", [errors], draw([errors], y_label="error, %", zero=True, unit=" %")),
        ("Learning rate", [rate], draw([rate], y_label="learning rate", zero=True)),
    ]
    return [
        {"title": title, "series": [s for s in series if s.points], "svg": svg}
        for title, series, svg in drawings
        if svg
    ]


def _reliability(calibration: Mapping[str, Any] | None, shown: Measures) -> list[dict[str, Any]]:
    """The reliability diagrams with their captions: before and after where it was calibrated."""
    if calibration is None:
        return [{"title": "", "svg": reliability_chart(shown.reliability)}]
    drawn = []
    for when in ("before", "after"):
        part = calibration[when]
        bins = [ReliabilityBin(**item) for item in part["reliability"]]
        drawn.append(
            {
                "title": f"{when.capitalize()} calibration",
                "error": Estimate.from_json(part["calibration_error"]),
                "chance": part["calibration_by_chance"],
                "likelihood": Estimate.from_json(part["negative_log_likelihood"]),
                "svg": reliability_chart(bins),
            }
        )
    return drawn


def selective_chart(selective: Mapping[str, Any] | None) -> Markup | None:
    """The error among the answers against the share that is answered, in percent, as an SVG."""
    if selective is None:
        return None
    # Errors of a handful of answers would stretch the axis over all others.
    curve = [point for point in selective["curve"] if point["coverage"] >= 0.05]
    error = Series(
        "error among the answers",
        "accent",
        [(100 * point["coverage"], 100 * point["error"]) for point in curve],
        band=[(100 * p["coverage"], 100 * p["low"], 100 * p["high"]) for p in curve],
    )
    return line_chart(
        [error],
        x_label="answered, %",
        y_label="wrong among the answers, %",
        x_range=(0.0, 100.0),
        zero=True,
        unit=" %",
    )


def _floats(rows: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Rows of numbers without those that hold one that is not finite."""
    plain = [[math.nan if value is None else float(value) for value in row] for row in rows]
    return [row for row in plain if all(math.isfinite(value) for value in row)]


def _matrix(measures: Measures) -> list[list[dict[str, Any]]]:
    """The confusion matrix as cells with their share of the row, for shading."""
    names = measures.class_names
    rows = []
    for row, counts in enumerate(measures.confusion):
        support = sum(counts)
        cells = []
        for column, count in enumerate(counts):
            share = count / support if support else 0.0
            right = row == column
            told = f"{names[row]} answered as {names[column]}: {count} of {support}"
            # Square root: a confusion of 1 % must still be seen.
            depth = share if right else share**0.5
            cells.append({"count": count, "depth": round(depth, 3), "right": right, "told": told})
        rows.append(cells)
    return rows


def _matrix_picture(measures: Measures) -> str | None:
    """The confusion matrix of many classes, one pixel a cell, as a data URI."""
    if len(measures.class_names) <= READABLE_CLASSES:
        return None
    counts = np.array(measures.confusion, dtype=np.float64)
    depth = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    # Mid-tones of the page's two colours, whose transparency works on light and on dark.
    picture = np.empty((*counts.shape, 4), dtype=np.uint8)
    picture[..., :3] = (217, 95, 66)
    picture[np.eye(len(counts), dtype=bool), :3] = (58, 145, 175)
    picture[..., 3] = np.round(255 * depth)
    return data_uri(picture)


def _duration(seconds: float) -> str:
    """A time span as a person says it.

    Example:
        >>> _duration(8.24), _duration(312.0), _duration(7390.0)
        ('8.2 s', '5 min 12 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _points(estimate: Mapping[str, float | None]) -> str:
    """A difference of shares in percentage points, with its sign and its interval.

    Example:
        >>> _points({"value": -0.021, "low": -0.034, "high": 0.0})
        '−2.10 [−3.40, 0]'
    """
    told = [estimate[key] for key in ("value", "low", "high")]
    ends = ["–" if end is None else ("−" if end < 0 else "") + percent(abs(end)) for end in told]
    return f"{ends[0]} [–]" if "–" in ends else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def _spell(value: Any) -> str:
    """A JSON value of a table: text as it is, lists and groups on one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ", ".join(_spell(item) for item in value)
    return json.dumps(value, ensure_ascii=False)
