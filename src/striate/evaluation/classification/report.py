"""Reports about classifiers: the sections of a run's report, and pages that compare classifiers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from striate.drawing.picture import data_uri
from striate.evaluation import report as frame
from striate.evaluation.chart import Series, line_chart, reliability_chart
from striate.evaluation.classification.calibration import ReliabilityBin
from striate.evaluation.classification.loss import FEW_MISTAKES
from striate.evaluation.classification.measure import ClassificationMetrics
from striate.evaluation.classification.text import ESTIMATES, most_confused
from striate.evaluation.interval import Estimate
from striate.evaluation.report import Headline, Report, Section

READABLE_CLASSES = 30
"""A matrix of counts with more classes than this is a picture and a list of pairs instead."""

_GALLERIES = (
    (
        "The worst mistakes",
        "mistakes",
        "Where the network gave the true class the least probability. Below each picture: the "
        "probability of the prediction against that of the truth. A wrong label in the data ends "
        "up here too.",
    ),
    (
        "The surest mistakes",
        "confident_mistakes",
        "Where the network was most confident and wrong, beyond those above.",
    ),
)
"""Title, key in the report and explanation of each gallery of mistakes."""


def render(report: Report) -> str:
    """The report of a classifier as one HTML page; see `evaluation.report.render`.

    Args:
        report: JSON values as for the frame, and "validation" (`ClassificationMetrics.to_json`),
            "measures" in "test", perhaps "calibration", "selective", "mistakes",
            "confident_mistakes".
    """
    return frame.render(report, _headline(report), sections(report))


def write(folder: Path, report: Report) -> Path:
    """Write report.html and report.json of a classifier; the path of the page comes back.

    Args:
        folder: folder of the run.
        report: JSON values as for `render`.
    """
    return frame.write(folder, report, _headline(report), sections(report))


def _headline(report: Report) -> Headline:
    test = report.get("test")
    shown = ClassificationMetrics.from_json(test["measures"] if test else report["validation"])
    split = "test" if test else "validation"
    counted = f"{shown.error.count:,} of {shown.n:,} {split} images were predicted wrongly."
    return Headline("error", shown.error, counted, confidence=shown.confidence)


def sections(report: Report) -> list[Section]:
    """Sections about metrics, confusions, confidence and mistakes.

    Args:
        report: JSON values as for `render`.
    """
    test, validated = report.get("test"), ClassificationMetrics.from_json(report["validation"])
    shown = ClassificationMetrics.from_json(test["measures"]) if test else validated
    templates = frame.environment(__package__)
    parts = _page_parts(shown, report.get("calibration"), report.get("selective"))
    score = templates.get_template("score.html.j2").render(
        **parts, test=test, validated=validated, shown_name="test" if test else "validation"
    )
    gallery = templates.get_template("macros.html.j2").module.gallery  # type: ignore[attr-defined]
    galleries, shown_before = [], set()
    for title, key, text in _GALLERIES:
        items = [item for item in report.get(key, ()) if item["name"] not in shown_before]
        shown_before |= {item["name"] for item in items}
        if items:
            galleries.append(Section(title, Markup(f"<p>{text}</p>\n") + gallery(items)))
    return [Section("How good it is", Markup(score)), *galleries]


def _page_parts(
    shown: ClassificationMetrics,
    calibration: Mapping[str, Any] | None,
    selective: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Tables, diagrams and the matrix that the templates show of a split.

    Args:
        shown: the metrics.
        calibration: JSON of calibration before and after, if there is any.
        selective: JSON of the curve and thresholds of abstention, if there is any.
    """
    return {
        "shown": shown,
        "rows": ESTIMATES,
        "few_mistakes": bool(shown.reliability) and shown.error.count <= FEW_MISTAKES,
        "reliability": _reliability(calibration, shown),
        "calibration": calibration,
        "selective": selective,
        "selective_chart": _selective_chart(selective),
        "matrix": _matrix(shown) if len(shown.class_names) <= READABLE_CLASSES else None,
        "matrix_picture": _matrix_picture(shown),
        "confused": most_confused(shown, limit=12),
    }


def _reliability(
    calibration: Mapping[str, Any] | None, shown: ClassificationMetrics
) -> list[dict[str, Any]]:
    """The reliability diagrams with their captions: before and after where it was calibrated."""
    if calibration is None:
        return [{"title": "", "svg": reliability_chart(shown.reliability)}]
    return [
        {
            "title": f"{when.capitalize()} calibration",
            "error": Estimate.from_json(part["calibration_error"]),
            "chance": part["calibration_by_chance"],
            "likelihood": Estimate.from_json(part["negative_log_likelihood"]),
            "svg": reliability_chart([ReliabilityBin(**item) for item in part["reliability"]]),
        }
        for when, part in ((when, calibration[when]) for when in ("before", "after"))
    ]


def _selective_chart(selective: Mapping[str, Any] | None) -> Markup | None:
    """The error among the predictions against their share, in percent, as an SVG."""
    if selective is None:
        return None
    # Errors of a handful of predictions would stretch the axis over all others.
    curve = [point for point in selective["curve"] if point["coverage"] >= 0.05]
    points = [(100 * p["coverage"], 100 * p["error"]) for p in curve]
    band = [(100 * p["coverage"], 100 * p["low"], 100 * p["high"]) for p in curve]
    error = Series("error among the predictions", "accent", points, band)
    return line_chart(
        [error],
        x_label="predicted, %",
        y_label="wrong among the predictions, %",
        x_range=(0.0, 100.0),
        zero=True,
        unit=" %",
    )


def _matrix(metrics: ClassificationMetrics) -> list[list[dict[str, Any]]]:
    """The confusion matrix as cells with their share of the row, for shading."""
    names = metrics.class_names
    rows = []
    for truth, counts in zip(names, metrics.confusion, strict=True):
        support = sum(counts)
        cells = []
        for other, count in zip(names, counts, strict=True):
            share, right = count / max(support, 1), truth == other
            title = f"{truth} predicted as {other}: {count} of {support}"
            # Square root: a confusion of 1 % must still be seen.
            depth = share if right else share**0.5
            cells.append({"count": count, "depth": round(depth, 3), "right": right, "title": title})
        rows.append(cells)
    return rows


def _matrix_picture(metrics: ClassificationMetrics) -> str | None:
    """The confusion matrix of many classes, one pixel a cell, as a data URI."""
    if len(metrics.class_names) <= READABLE_CLASSES:
        return None
    counts = np.array(metrics.confusion, dtype=np.float64)
    depth = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    # Mid-tones of the page's two colours, whose transparency works on light and on dark.
    picture = np.empty((*counts.shape, 4), dtype=np.uint8)
    picture[..., :3] = (217, 95, 66)
    picture[np.eye(len(counts), dtype=bool), :3] = (58, 145, 175)
    picture[..., 3] = np.round(255 * depth)
    return data_uri(picture)


def comparison_page(report: Report, heading: str) -> str:
    """One or more networks on the same images as an HTML page that loads nothing from elsewhere.

    Args:
        report: JSON values: "names", "measures" (`ClassificationMetrics.to_json` of each), "split",
            "notes", of two networks or more those of `Comparison.to_json`; perhaps "disagreements"
            (each "name", "truth", "answers", "wrong", "image"), "calibration" and "selective"
            of a single network as in a report.
        heading: heading of the disagreeing images.
    """
    metrics = [ClassificationMetrics.from_json(value) for value in report["measures"]]
    first = metrics[0]
    parts = {
        **report,
        **_page_parts(first, report.get("calibration"), report.get("selective")),
        "tiny": bool(report.get("tiny")),
    }
    return (
        frame.environment(__package__)
        .get_template("comparison.html.j2")
        .render(
            **parts,
            columns=list(zip(report["names"], metrics, strict=True)),
            heading=heading,
            shown_name=report["split"],
            compared=report if len(metrics) > 1 else None,
            groups=_groups(report.get("disagreements", ())),
            diagrams=[
                {"title": name, "svg": reliability_chart(value.reliability)}
                for name, value in zip(report["names"], metrics, strict=True)
                if value.reliability
            ],
            table=ESTIMATES,
        )
    )


def _groups(items: Any) -> list[dict[str, Any]]:
    """Disagreements by who was wrong."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for item in items:
        groups.setdefault(tuple(item["wrong"]), []).append(item)
    return [{"wrong": list(wrong), "items": of_group} for wrong, of_group in groups.items()]
