"""Parts of a report that only classification has: classes, calibration, abstention, mistakes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from striate.data import Dataset, ImageSet
from striate.evaluation import ClassificationMetrics, confident_mistakes, mistakes, thumbnail_uri
from striate.run_folder import RunFolder
from striate.tasks.classification.evidence import calibration_part, selective_part

if TYPE_CHECKING:
    from striate.tasks.task import ReportedSplit

_EXAMPLES = 8  # pictures of each class
_CLASSES_SHOWN = 30
_MISTAKES = 24


def report_parts(folder: RunFolder, data: Dataset, split: "ReportedSplit") -> dict[str, Any]:
    """The classes of the data, and what the shown split says of the network.

    Args:
        folder: Folder of the run.
        data: Data that it learned from.
        split: Split that the report shows.
    """
    shown, labels, images = split.rows["probabilities"], split.rows["labels"], split.images
    figures = cast(ClassificationMetrics, split.figures)
    validation = split.validation["probabilities"]
    worst, surest = (
        kind(shown, labels, limit=_MISTAKES) for kind in (mistakes, confident_mistakes)
    )
    return {
        "data": {
            "class_names": list(data.class_names),
            "counts": {
                "train": _counts(data.train, data),
                "validation": _counts(data.validation, data),
                "test": data.test.num_items,
            },
            "examples": _examples(data),
        },
        "calibration": calibration_part(folder, data.class_names, figures, split.name),
        "selective": selective_part(folder, validation, shown, labels, split.name),
        "mistakes": _pictures(worst, images, data),
        "confident_mistakes": _pictures(surest, images, data),
        "mistakes_from": split.name,
    }


def _counts(images: ImageSet, data: Dataset) -> list[int]:
    return list(map(int, np.bincount(images.labels, minlength=len(data.class_names))))


def _examples(data: Dataset) -> list[dict[str, Any]]:
    """The first training images of each class, for as many classes as a page bears."""
    examples = []
    for label, name in enumerate(data.class_names[:_CLASSES_SHOWN]):
        rows = np.flatnonzero(data.train.labels == label)[:_EXAMPLES]
        pictures = [thumbnail_uri(np.asarray(data.train.images[i])) for i in rows]
        examples.append({"class": name, "images": pictures})
    return examples


def _pictures(rows: Sequence[Any], images: ImageSet, data: Dataset) -> list[dict[str, Any]]:
    return [
        {
            **asdict(row),
            "image": thumbnail_uri(np.asarray(images.images[row.index])),
            "name": images.names[row.index],
            "truth": data.class_names[row.truth],
            "answer": data.class_names[row.answer],
        }
        for row in rows
    ]
