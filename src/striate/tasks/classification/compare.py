"""Classifiers compared on the same images, with paired tests, and where they disagree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.evaluation import (
    ClassificationMetrics,
    Predictions,
    measure,
    table_lines,
    thumbnail_uri,
)
from striate.evaluation.classification.comparison import (
    ClassifierComparison,
    compare_classifiers,
    disagreements,
)
from striate.evaluation.classification.report import comparison_page
from striate.tasks.comparison import write_comparison

_SHOWN = 60
"""Disagreeing images on a page; JSON has them all."""
_Picture = Callable[[], np.ndarray | None]
"""Reads a picture; None where it cannot be read any more."""


@dataclass(frozen=True)
class ClassComparison:
    """Classifiers on the same images: paired tests, the metrics of each, disagreements."""

    comparison: ClassifierComparison
    metrics: tuple[ClassificationMetrics, ...]
    split: str
    """"test" or "validation"."""
    disagreements: tuple[dict[str, Any], ...]
    """Images that some have right and others wrong: name, truth, predictions, and under "image" a
    function that reads the picture."""
    notes: tuple[str, ...]
    tiny: bool
    """Whether the pictures are so small that a page enlarges them pixel by pixel."""

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values, without pictures."""
        return {
            "split": self.split,
            **self.comparison.to_json(),
            "notes": list(self.notes),
            "measures": [m.to_json() for m in self.metrics],
            "disagreements": [
                {key: value for key, value in item.items() if key != "image"}
                for item in self.disagreements
            ],
        }

    def write(self, folder: Path) -> Path:
        """Write comparison.html and comparison.json into a folder; the page's path comes back."""
        figures = self.to_json()
        shown = {"disagreements": _chosen(self.disagreements), "tiny": self.tiny}
        html = comparison_page(figures | shown, "Images on which they disagree")
        return write_comparison(folder, html, figures)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classifiers."""
        return self.comparison.names

    def lines(self) -> list[str]:
        """The comparison as lines for a terminal."""
        return [*table_lines(self.comparison.names, self.metrics), *self.comparison.lines()]


def compare_classes(
    names: Sequence[str],
    predictions: Sequence[Predictions],
    class_names: tuple[str, ...],
    pictures: Mapping[int, _Picture],
    *,
    split: str,
    notes: tuple[str, ...],
    tiny: bool,
) -> ClassComparison:
    """Compare classifiers by their calibrated predictions of the same items.

    Args:
        names: Names of the classifiers.
        predictions: Predictions of each, in one order of items.
        class_names: Names of the K classes.
        pictures: Function for each item with a picture that reads it, by index.
        split: "test" or "validation".
        notes: Sentences about the comparison.
        tiny: Whether a page enlarges the pictures.
    """
    target = predictions[0].rows["labels"]
    p = np.stack([one.rows["probabilities"] for one in predictions])
    comparison = compare_classifiers(p.argmax(axis=2), target, names, probabilities=p)
    metrics = tuple(measure(row, target, class_names) for row in p)
    stored: dict[int, _Picture] = {}
    for one in reversed(predictions):
        stored |= {i: partial(np.asarray, picture) for i, picture in one.pictures.items()}
    images = predictions[0].names or tuple(map(str, range(len(target))))
    mixed = disagreements(
        p.argmax(axis=2),
        target,
        names,
        classes=class_names,
        items=images,
        confidences=list(p.max(axis=2)),
    )
    # Those first where they differ most in the probability of the truth.
    gap = np.ptp(np.take_along_axis(p, target[None, :, None], axis=2)[..., 0], axis=0)
    order = sorted(mixed, key=lambda i: -gap[i])
    pictures = pictures or stored
    items = [{"index": i, **mixed[i], "image": pictures.get(i)} for i in order]
    return ClassComparison(comparison, metrics, split, tuple(items), notes, tiny)


def _chosen(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many images of each kind of disagreement, those with pictures first."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for item in sorted(items, key=lambda item: item["image"] is None):
        kinds.setdefault(tuple(item["wrong"]), []).append(item)
    each = max(1, _SHOWN // max(1, len(kinds)))
    chosen = []
    for kind in kinds.values():
        for item in kind[:each]:
            image = None if item["image"] is None else item["image"]()
            chosen.append({**item, "image": None if image is None else thumbnail_uri(image)})
    return chosen
