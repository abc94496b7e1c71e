"""The findings of an inspection as one page for a person, and as JSON for a program."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from striate import durable
from striate.data.picture import BrokenImage, open_image
from striate.data.source import Source
from striate.data.survey import spread
from striate.evaluation import thumbnail_uri
from striate.evaluation.report import environment
from striate.inspection.findings import Findings
from striate.inspection.group import Group

# Numbers of groups on the page, the worst first; the JSON file has all.
_GROUPS = {"leak": 40, "conflict": 40, "straddle": 20, "within": 30}
_MEMBERS = 8
_PICTURES = 48
_SIDE = 128  # pixels of a picture on the page
_EXAMPLES = 6
# Above so many classes no examples of each are shown.
_MANY_CLASSES = 30


def describe(findings: Findings) -> dict[str, Any]:
    """All findings as JSON values, without pictures."""
    scan = findings.scan
    return {
        "format": "striate inspection 1",
        "title": findings.title,
        "source": findings.source,
        "licence": findings.licence,
        "num_images": len(scan.items),
        "class_names": list(findings.class_names),
        "counts_per_class": findings.counts_per_class(),
        "test_origin": findings.test_origin,
        "test_opened": findings.opened,
        "heights": list(spread([header.height for header in scan.headers])),
        "widths": list(spread([header.width for header in scan.headers])),
        "modes": dict(Counter(header.mode for header in scan.headers).most_common()),
        "formats": dict(Counter(header.format for header in scan.headers).most_common()),
        "broken": [file._asdict() for file in scan.broken],
        "constant": [scan.items[i].name for i in findings.constant],
        "near_threshold": findings.threshold,
        "num_leaking": findings.num_leaking,
        "groups": [_group(findings, group) for group in findings.groups],
        "labels": _labels(findings),
        "outliers": [
            {"name": scan.items[i].name, "distance": round(times, 2)}
            for i, times in findings.outliers
        ],
        "notes": list(findings.notes),
        **({"fields": [each._asdict() for each in findings.fields]} if findings.fields else {}),
    }


def render(findings: Findings, source: Source) -> str:
    """The findings as one HTML page that loads nothing from elsewhere.

    Args:
        findings: Findings of `inspect`.
        source: Source from which the shown pictures are read once more, larger.
    """
    described = describe(findings)
    groups: list[Group] = []
    for relation, most in _GROUPS.items():
        groups += [group for group in findings.groups if group.relation == relation][:most]
    suspects = [] if findings.suspects is None else findings.suspects.items[:_PICTURES].tolist()
    outliers = [i for i, _ in findings.outliers[:_PICTURES]]
    blank = findings.constant[:_PICTURES]
    examples = _examples(findings)
    members = [i for group in groups for i in group.members[:_MEMBERS]]
    shown = {*members, *suspects, *outliers, *blank, *(i for row in examples for i in row)}
    pictures = _pictures(findings, source, shown)

    def gallery(rows: Sequence[dict[str, Any]], items: Sequence[int]) -> list[dict[str, Any]]:
        return [
            {**row, "image": pictures.get(i), "given": _class(findings, i)}
            for row, i in zip(rows, items, strict=False)
        ]

    template = environment("striate.inspection").get_template("inspection.html.j2")
    return template.render(
        findings=described,
        total=len(described["groups"]),
        counts={relation: findings.count(relation) for relation in _GROUPS},
        num_suspects=len(described["labels"]["suspects"]),
        groups=[
            _group(findings, group) | {"images": list(map(pictures.get, group.members[:_MEMBERS]))}
            for group in groups
        ],
        suspects=gallery(described["labels"]["suspects"], suspects),
        outliers=gallery(described["outliers"], outliers),
        blank=gallery([{"name": name} for name in described["constant"]], blank),
        examples=[list(map(pictures.get, row)) for row in examples],
        tiny=max(described["heights"][1], described["widths"][1]) < 96,
    )


def write(folder: Path, findings: Findings, source: Source) -> Path:
    """Write inspection.html and inspection.json into a folder, and return the page's path."""
    page = folder / "inspection.html"
    durable.write_json(folder / "inspection.json", describe(findings))
    durable.write_bytes(page, render(findings, source).encode())
    return page


def _group(findings: Findings, group: Group) -> dict[str, Any]:
    # The class of a test image stays hidden, unless the split was opened.
    hidden = set() if findings.opened else {"test"}
    return {
        "kind": group.kind,
        "relation": group.relation,
        "flipped": group.flipped,
        "agreement": round(group.agreement, 3),
        "members": [
            {
                "name": findings.scan.items[i].name,
                "split": findings.splits[i],
                "class": None if findings.splits[i] in hidden else _class(findings, i),
            }
            for i in group.members
        ],
    }


def _labels(findings: Findings) -> dict[str, Any]:
    suspects = findings.suspects
    if suspects is None or findings.labels is None:
        return {"checked": 0, "error": None, "suspects": []}
    columns = (suspects.items, suspects.likely, suspects.doubt, suspects.confident)
    return {
        "checked": len(findings.learned),
        "error": round(findings.labels.error, 4),
        "share": round(suspects.share, 4),
        "expected": round(suspects.expected, 1),
        "num_confident": suspects.num_confident,
        "suspects": [
            {
                "name": findings.scan.items[i].name,
                "given": _class(findings, i),
                "likely": findings.class_names[likely],
                "chance_wrong": round(doubt, 4),
                "confident_learning": confident,
            }
            for i, likely, doubt, confident in zip(*(c.tolist() for c in columns), strict=True)
        ],
    }


def _class(findings: Findings, i: int) -> str | None:
    names = findings.class_names
    return names[findings.scan.items[i].label] if names else None


def _examples(findings: Findings) -> list[list[int]]:
    """The first training images of each class."""
    rows: list[list[int]] = [[] for _ in findings.class_names]
    if 0 < len(rows) <= _MANY_CLASSES:
        for i, split in enumerate(findings.splits):
            row = rows[findings.scan.items[i].label]
            if split == "train" and len(row) < _EXAMPLES:
                row.append(i)
    return rows


def _pictures(findings: Findings, source: Source, shown: Iterable[int]) -> dict[int, str]:
    """Data URIs of the shown items, which are read once more."""
    index = {findings.scan.items[i].name: i for i in shown}
    pictures = {}
    for item, content in source.stream([findings.scan.items[i] for i in index.values()]):
        if not isinstance(content, OSError):
            with suppress(BrokenImage):
                pixels = np.asarray(open_image(content, _SIDE, findings.scan.bits))
                pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
                pictures[index[item.name]] = thumbnail_uri(pixels)
    return pictures
