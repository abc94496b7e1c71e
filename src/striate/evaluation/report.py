"""The report of a run: one page for a person, and the same facts as JSON for a program.

The frame is the same for every task: where the data come from, what was decided, how the training
went, how often the test split was opened, how to do it again. What was measured stands between,
in sections that the task makes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from striate import digests
from striate.data.spelling import visible
from striate.evaluation.chart import Series, line_chart, thinned
from striate.evaluation.interval import Estimate, Proportion
from striate.evaluation.metric import Scores
from striate.evaluation.text import number, percent

if TYPE_CHECKING:
    from jinja2 import Environment

Report = Mapping[str, Any]

TINY = 96
"""Images smaller than this are enlarged with their pixels kept square."""


@dataclass(frozen=True)
class Section:
    """One section of a report."""

    title: str
    body: Markup
    """HTML of the section, with everything that a person named escaped."""


@dataclass(frozen=True)
class Headline:
    """The number with which a report begins."""

    name: str
    """Words for people, such as "error"."""
    estimate: Estimate | Proportion
    sentence: str = ""
    """Sentence on the count, such as "7 of 360 test images were predicted wrongly."."""
    is_percent: bool = True
    confidence: float = 0.95

    @property
    def unit(self) -> Markup:
        return Markup("&nbsp;%" if self.is_percent else "")

    def spelled(self, value: float) -> str:
        """The value as it stands in the sentence, without its unit."""
        return percent(value) if self.is_percent else number(value)


def render(report: Report, headline: Headline, sections: Sequence[Section]) -> str:
    """The report as one HTML page that loads nothing from elsewhere.

    Args:
        report: JSON values: "title", "run", "data", "network", "curves", "test" (None, or
            "opening", "ledger" and "findings"); docs/reference/run.md lists them all. Names and
            texts may hold anything: all of them are escaped.
        headline: the number with which it begins, of the test split where it was opened.
        sections: what was measured, in the order of the page.
    """
    height, width = report["data"]["input_size"]
    page = environment().get_template("report.html.j2")
    return page.render(
        **{**report, "data": {"class_names": [], "examples": [], **report["data"]}},
        headline=headline,
        sections=sections,
        split="test" if report["test"] else "validation",
        charts=_charts(report["curves"], headline),
        tiny=max(height, width) < TINY,
    )


def write(folder: Path, report: Report, headline: Headline, sections: Sequence[Section]) -> Path:
    """Write report.html and report.json into a folder; the path of the page comes back.

    Each is written whole or not at all, the page last: where it lies, all of a run does.
    report.json holds the same facts without the pictures.

    Args:
        folder: folder of the run.
        report: JSON values as for `render`.
        headline: the number with which the page begins.
        sections: what was measured, in the order of the page.
    """
    page = Path(folder) / "report.html"
    html = render(report, headline, sections).encode()
    digests.write_json(Path(folder) / "report.json", _without_pictures(report))
    digests.write_bytes(page, html)
    return page


def metric_section(scores: Mapping[str, Scores], *, confidence: float = 0.95) -> Section:
    """The table of all metrics with their intervals, one column a split.

    Args:
        scores: scores of each split by its name, with equal metrics.
        confidence: nominal coverage of the intervals.
    """
    template = environment().get_template("metrics.html.j2")
    body = template.render(
        sizes={split: len(each.rows) for split, each in scores.items()},
        columns=[each.estimates(confidence=confidence) for each in scores.values()],
        coverage=f"{100 * confidence:g}",
    )
    return Section("How good it is", Markup(body))


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
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

    class Page(Template):
        def render(self, *args: Any, **values: Any) -> str:
            # A name may turn the direction of writing, or hold what no page can.
            return visible(super().render(*args, **values))

    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader(each, "templates") for each in (*packages, "striate.evaluation")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.template_class = Page
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


def _charts(curves: Mapping[str, Any], headline: Headline) -> list[dict[str, Any]]:
    """The curves as drawings with their captions; those without points are left out."""
    checks = curves["validation"]
    losses = [(x, loss) for x, loss in _floats([check[:2] for check in checks])]
    train, rates = _floats(curves["train"]), _floats(curves["lr"])
    loss = [
        Series("training loss", "soft", thinned([(x, y) for x, y in train])),
        Series("validation loss", "accent", losses, dots=True),
    ]
    metrics = _floats([[x, *interval] for x, _, *interval in checks])
    scale, unit = (100, " %") if headline.is_percent else (1, "")
    metric = Series(
        f"validation {headline.name}",
        "accent",
        [(x, scale * value) for x, value, _, _ in metrics],
        band=[(x, scale * low, scale * high) for x, _, low, high in metrics],
        dots=True,
    )
    rate = Series("learning rate", "second", thinned([(x, y) for x, y in rates]))
    last = max(
        (float(p[0]) for key in ("train", "validation", "lr") for p in curves[key]), default=1
    )
    label = f"{headline.name}, %" if headline.is_percent else headline.name
    draw = partial(line_chart, x_label=str(curves["unit"]), x_range=(0.0, float(last)))
    drawings = [
        ("Loss", loss, draw(loss, y_label="loss")),
        (
            metric.name[:1].upper() + metric.name[1:],
            [metric],
            draw([metric], y_label=label, zero=True, unit=unit),
        ),
        ("Learning rate", [rate], draw([rate], y_label="learning rate", zero=True)),
    ]
    return [
        {"title": title, "series": [s for s in series if s.points], "svg": svg}
        for title, series, svg in drawings
        if svg
    ]


def _floats(rows: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Rows of numbers without those that hold one that is not finite."""
    plain = [[math.nan if value is None else float(value) for value in row] for row in rows]
    return [row for row in plain if all(math.isfinite(value) for value in row)]


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
    values = [estimate[key] for key in ("value", "low", "high")]
    ends = ["–" if end is None else ("−" if end < 0 else "") + percent(abs(end)) for end in values]
    return f"{ends[0]} [–]" if "–" in ends else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def _spell(value: Any) -> str:
    """A JSON value of a table: text as it is, lists and groups on one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ", ".join(_spell(item) for item in value)
    return json.dumps(value, ensure_ascii=False)
