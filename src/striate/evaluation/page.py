"""Pages about networks that are compared, and about predictions that other systems made."""

from collections.abc import Mapping
from typing import Any

from striate.evaluation.chart import reliability_chart
from striate.evaluation.classification.measure import Measures
from striate.evaluation.report import MEASURE_ROWS, environment, page_parts

__all__ = ["comparison_page"]


def comparison_page(told: Mapping[str, Any], heading: str) -> str:
    """One or more networks on the same images as an HTML page that loads nothing from elsewhere.

    Args:
        told: JSON values: "names", "measures" (`Measures.to_json` of each), "split", "notes",
            and of two networks or more those of `Comparison.to_json`; perhaps "disagreements"
            (each "name", "truth", "answers", "wrong", "image"), "calibration" and "selective"
            of a single network as in a report.
        heading: of the disagreeing images.
    """
    measures = [Measures.from_json(value) for value in told["measures"]]
    first = measures[0]
    parts = {
        **told,
        "tiny": bool(told.get("tiny")),
        "calibration": told.get("calibration"),
        "selective": told.get("selective"),
    }
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            **parts,
            **page_parts(first, parts["calibration"], parts["selective"]),
            columns=list(zip(told["names"], measures, strict=True)),
            heading=heading,
            shown_name=told["split"],
            compared=told if len(measures) > 1 else None,
            groups=_groups(told.get("disagreements", ())),
            diagrams=[
                {"title": name, "svg": reliability_chart(value.reliability)}
                for name, value in zip(told["names"], measures, strict=True)
                if value.reliability
            ],
            table=MEASURE_ROWS,
        )
    )


def _groups(items: Any) -> list[dict[str, Any]]:
    """Disagreements by who was wrong."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for item in items:
        groups.setdefault(tuple(item["wrong"]), []).append(item)
    return [{"wrong": list(wrong), "items": found} for wrong, found in groups.items()]
