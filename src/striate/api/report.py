"""The content of a run's report: all that the run folder holds, with pictures."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from striate.api.evidence import calibration_part, selective_part, validated
from striate.data import Dataset, ImageSet
from striate.data.seal import Opening
from striate.evaluation import (
    Measures,
    adjusted_reading,
    confident_mistakes,
    data_uri,
    measure,
    mistakes,
    opened,
    openings,
    receipts_of,
    verify,
)
from striate.evaluation.classification.report import write
from striate.training.events import read_events
from striate.training.folder import RunFolder

__all__ = ["write_report"]

_EXAMPLES = 8  # pictures of each class
_CLASSES_SHOWN = 30
_MISTAKES = 24


def write_report(
    folder: RunFolder,
    data: Dataset,
    test: tuple[Measures, np.ndarray, ImageSet, Opening] | None = None,
) -> None:
    """Write report.html and report.json of a run.

    Args:
        folder: of the run; its validation answers are there.
        data: that it learned from.
        test: measures, probabilities, images and opening of the test split, if it was opened.
    """
    record = folder.record()
    probabilities, labels = validated(folder)
    measures = measure(probabilities, labels, data.class_names)
    events = read_events(folder.events)
    shown, images = (test[1], test[2]) if test is not None else (probabilities, data.validation)
    split = "test" if test is not None else "validation"
    calibrated = test[0] if test is not None else measures
    write(
        folder.path,
        {
            "title": f"{record['config']['network']['name']} on {data.title}",
            "run": {
                "hash": record["hash"],
                "folder": str(folder.path),
                "created": record["created"],
                "seconds": next((e["seconds"] for e in events if e["event"] == "finished"), None),
                "config": record["config"],
                "choices": record["choices"],
                "versions": record["versions"],
                "hardware": record["hardware"],
                "status": "finished",
                "warnings": [e["text"] for e in events if "text" in e],
            },
            "data": _data(record, data),
            "network": {
                "name": record["config"]["network"]["name"],
                "parameters": record["num_parameters"],
                "text": None,
            },
            "curves": _curves(events),
            "validation": measures.to_json(),
            "test": _test(folder, data, test),
            "calibration": calibration_part(folder, data.class_names, calibrated, split),
            "selective": selective_part(folder, probabilities, shown, images.labels, split),
            "notes": list(record.get("notes", ())),
            "mistakes": _pictures(mistakes(shown, images.labels, limit=_MISTAKES), images, data),
            "confident_mistakes": _pictures(
                confident_mistakes(shown, images.labels, limit=_MISTAKES), images, data
            ),
            "mistakes_from": "test" if test is not None else "validation",
        },
    )


def _data(record: dict[str, Any], data: Dataset) -> dict[str, Any]:
    stored = record["data"]
    return {
        "title": data.title,
        "source": record["config"]["data"]["source"],
        "digest": data.digest,
        "licence": data.licence,
        "class_names": list(data.class_names),
        "counts": {
            "train": _counts(data.train, data),
            "validation": _counts(data.validation, data),
            "test": data.test.num_items,
        },
        "test_origin": data.test_origin,
        "test_openings": opened(data.test.digest),
        "input_size": stored.get("input_size", record["config"]["data"]["input_size"]),
        "channels": record["config"]["data"]["channels"],
        "examples": _examples(data),
        "notes": list(data.notes),
        "leaks": data.describe_leaks(),
        "broken": [{"name": b.name, "reason": b.reason} for b in data.broken],
    }


def _counts(images: ImageSet, data: Dataset) -> list[int]:
    counts: list[int] = np.bincount(images.labels, minlength=len(data.class_names)).tolist()
    return counts


def _examples(data: Dataset) -> list[dict[str, Any]]:
    """The first training images of each class, for as many classes as a page bears."""
    examples = []
    for label, name in enumerate(data.class_names[:_CLASSES_SHOWN]):
        places = np.flatnonzero(data.train.labels == label)[:_EXAMPLES]
        pictures = [data_uri(np.asarray(data.train.images[i])) for i in places]
        examples.append({"class": name, "images": pictures})
    return examples


def _curves(events: list[dict[str, Any]]) -> dict[str, Any]:
    steps = [e for e in events if e["event"] == "step"]
    checks = [e for e in events if e["event"] == "validation"]
    return {
        "train": [[e["step"], e["loss"]] for e in steps],
        "validation": [[e["step"], e["loss"], e["error"], e["low"], e["high"]] for e in checks],
        "lr": [[e["step"], e["lr"]] for e in steps],
        "unit": "step",
    }


def _test(
    folder: RunFolder,
    data: Dataset,
    test: tuple[Measures, np.ndarray, ImageSet, Opening] | None,
) -> dict[str, Any] | None:
    if test is None:
        return None
    measures, _, _, opening = test
    records = openings(data.test.digest)
    reading = adjusted_reading(records, opened(data.test.digest))
    verification = verify(data.test.digest, receipts_of(folder.path))
    time = next((row.time for row in records if row.number == opening.number), None)
    return {
        "measures": measures.to_json(),
        "opening": {"number": opening.number, "time": time},
        "ledger": [record.to_json() for record in records],
        "reading": reading.to_json() if reading else None,
        "findings": list(verification.findings),
        "notices": list(verification.notices),
    }


def _pictures(rows: Sequence[Any], images: ImageSet, data: Dataset) -> list[dict[str, Any]]:
    return [
        {
            **asdict(row),
            "image": data_uri(np.asarray(images.images[row.index])),
            "name": images.names[row.index],
            "truth": data.class_names[row.truth],
            "answer": data.class_names[row.answer],
        }
        for row in rows
    ]
