"""The inspection as one page for a person, and the same facts as JSON for a program."""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate import durable
from striate.data.picture import BrokenImage, open_image
from striate.data.source import Source
from striate.evaluation import data_uri
from striate.evaluation.report import environment
from striate.inspection.findings import Findings
from striate.inspection.group import Group

__all__ = ["describe", "render", "write"]

# So many of each kind are on the page, the worst first; the JSON file has all.
_GROUPS = {"leak": 40, "conflict": 40, "straddle": 20, "within": 30}
_MEMBERS = 8
_PICTURES = 48
_SIDE = 128  # pixels of a picture on the page
_EXAMPLES = 6


def describe(found: Findings) -> dict[str, Any]:
    """All findings as JSON values, without pictures."""
    seen = found.seen
    heights = [header.height for header in seen.headers]
    widths = [header.width for header in seen.headers]
    return {
        "format": "striate inspection 1",
        "title": found.title,
        "source": found.source,
        "licence": found.licence,
        "num_images": len(seen.items),
        "class_names": list(found.class_names),
        "counts_per_class": found.counts_per_class(),
        "test_origin": found.test_origin,
        "test_opened": found.opened,
        "heights": _spread(heights),
        "widths": _spread(widths),
        "modes": dict(Counter(header.mode for header in seen.headers).most_common()),
        "formats": dict(Counter(header.format for header in seen.headers).most_common()),
        "broken": [file._asdict() for file in seen.broken],
        "constant": [seen.items[i].name for i in found.constant],
        "near_threshold": found.threshold,
        "num_leaking": found.num_leaking,
        "groups": [_group(found, group) for group in found.groups],
        "labels": _labels(found),
        "outliers": [
            {"name": seen.items[i].name, "distance": round(times, 2)} for i, times in found.outliers
        ],
        "notes": list(found.notes),
    }


def render(found: Findings, source: Source) -> str:
    """The findings as one HTML page that loads nothing from elsewhere.

    Args:
        found: by `inspect`.
        source: where the pictures that are shown are read once more, larger.
    """
    told = describe(found)
    shown: list[Group] = []
    for relation, most in _GROUPS.items():
        shown += [group for group in found.groups if group.relation == relation][:most]
    doubted = [] if found.suspects is None else found.suspects.items[:_PICTURES].tolist()
    far = [i for i, _ in found.outliers[:_PICTURES]]
    blank = found.constant[:_PICTURES]
    examples = _examples(found)
    members = [i for group in shown for i in group.members[:_MEMBERS]]
    wanted = {*members, *doubted, *far, *blank, *(i for row in examples for i in row)}
    pictures = _pictures(found, source, wanted)
    return str(
        environment("striate.inspection")
        .get_template("inspection.html.j2")
        .render(
            told=told,
            total=len(told["groups"]),
            counts={relation: found.count(relation) for relation in _GROUPS},
            num_suspects=0 if found.suspects is None else len(found.suspects.items),
            groups=[
                {
                    **_group(found, group),
                    "images": [pictures.get(i) for i in group.members[:_MEMBERS]],
                }
                for group in shown
            ],
            suspects=[
                {**row, "image": pictures.get(i)}
                for row, i in zip(told["labels"]["suspects"], doubted, strict=False)
            ],
            outliers=[
                {**row, "image": pictures.get(i), "given": found.class_names[_label(found, i)]}
                for row, i in zip(told["outliers"], far, strict=False)
            ],
            blank=[{"name": found.seen.items[i].name, "image": pictures.get(i)} for i in blank],
            examples=[[pictures.get(i) for i in row] for row in examples],
            tiny=max(told["heights"][1], told["widths"][1]) < 96,
        )
    )


def write(folder: Path, found: Findings, source: Source) -> Path:
    """Write inspection.html and inspection.json into a folder; the path of the page comes back."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "inspection.html"
    durable.write_json(folder / "inspection.json", describe(found))
    durable.write_bytes(page, render(found, source).encode())
    return page


def _group(found: Findings, group: Group) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "relation": group.relation,
        "flipped": group.flipped,
        "agreement": round(group.agreement, 3),
        "members": [
            {
                "name": found.seen.items[i].name,
                "split": found.splits[i],
                # The label of a test image is not told, unless the split was opened.
                "class": None
                if found.splits[i] == "test" and not found.opened
                else found.class_names[_label(found, i)],
            }
            for i in group.members
        ],
    }


def _labels(found: Findings) -> dict[str, Any]:
    if found.suspects is None or found.labels is None:
        return {"checked": 0, "error": None, "suspects": []}
    names = found.class_names
    doubted = found.suspects
    return {
        "checked": len(found.learned),
        "error": round(found.labels.error, 4),
        "share": round(doubted.share, 4),
        "expected": round(doubted.expected, 1),
        "num_confident": doubted.num_confident,
        "suspects": [
            {
                "name": found.seen.items[i].name,
                "given": names[_label(found, i)],
                "likely": names[k],
                "chance_wrong": round(doubt, 4),
                "confident_learning": confident,
            }
            for i, k, doubt, confident in zip(
                doubted.items.tolist(),
                doubted.likely.tolist(),
                doubted.doubt.tolist(),
                doubted.confident.tolist(),
                strict=True,
            )
        ],
    }


def _label(found: Findings, i: int) -> int:
    return found.seen.items[i].label


def _examples(found: Findings) -> list[list[int]]:
    """The first training images of each class."""
    rows: list[list[int]] = [[] for _ in found.class_names]
    for i, (item, split) in enumerate(zip(found.seen.items, found.splits, strict=True)):
        if split == "train" and len(rows[item.label]) < _EXAMPLES:
            rows[item.label].append(i)
    return rows if len(rows) <= 30 else [[] for _ in rows]


def _pictures(found: Findings, source: Source, wanted: Iterable[int]) -> dict[int, str]:
    """Data URIs of the chosen items, read once more."""
    place = {found.seen.items[i].name: i for i in wanted}
    items = [found.seen.items[i] for i in place.values()]
    pictures = {}
    for item, content in source.stream(items):
        if isinstance(content, OSError):
            continue
        try:
            image = open_image(content, smallest=_SIDE)
        except BrokenImage:
            continue
        pictures[place[item.name]] = _small(image)
    return pictures


def _small(image: Image.Image) -> str:
    """A data URI: pixel for pixel where it is small, else a JPEG of at most 128 pixels."""
    import base64

    if max(image.size) <= 64:
        pixels = np.asarray(image)
        return data_uri(pixels[:, :, None] if pixels.ndim == 2 else pixels)
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _spread(values: Sequence[int]) -> list[int]:
    return [min(values), int(np.median(values)), max(values)]
