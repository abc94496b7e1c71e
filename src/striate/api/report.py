"""The report of a run: everything that its folder knows, with the parts that its task adds."""

from typing import Any, NamedTuple

from striate import digests
from striate.data import Dataset, ImageSet
from striate.data.seal import Opening
from striate.errors import RunError
from striate.evaluation import adjusted_reading, opened, openings, receipts_of, verify
from striate.evaluation.metric import Columns
from striate.evaluation.summary import Figures
from striate.reading import reported_as
from striate.run_folder import RunFolder
from striate.tasks import DataShape, ReportedSplit, Task
from striate.training.events import Event, read_events


class OpenedTest(NamedTuple):
    """The test split of a run, after it was opened."""

    images: ImageSet
    rows: Columns
    """Rows after calibration."""
    figures: Figures
    """Figures of these rows."""
    opening: Opening
    notes: tuple[str, ...] = ()
    """Sentences that stand above the figures."""


def write_report(
    folder: RunFolder, data: Dataset, task: Task, shape: DataShape, test: OpenedTest | None = None
) -> None:
    """Write report.html and report.json of a run.

    Args:
        folder: Folder of the run; its validation predictions are there.
        data: Data that it learned from.
        task: Task that it serves.
        shape: Shape of the data.
        test: Test split, if it was opened.
    """
    record = folder.record()
    validation = task.held_out(folder)
    figures = task.figures(validation, shape)
    events, notes = _read_log(folder)
    shown = ReportedSplit("validation", data.validation, validation, figures, validation, shape)
    if test is not None:
        shown = ReportedSplit("test", test.images, test.rows, test.figures, validation, shape)
    parts = task.report(folder, data, shown)
    with reported_as(RunError, f"{folder.events} is damaged"):
        curves = _curves(events)
        # The last of each kind: of a run that began anew, too.
        said = {e["event"]: str(e["text"]) for e in events if "text" in e}
        solved = []
        if "head" in said:
            solved = [{"what": "last layer", "value": "solved", "why": said["head"]}]
        warnings = [
            str(e["text"])
            for e in events
            if "text" in e and e["event"] not in ("execution", "head")
        ]
        seconds = next((e["seconds"] for e in events if e["event"] == "finished"), None)
    task.write_report(
        folder.path,
        {
            "title": f"{record['config']['network']['name']} on {data.title}",
            "run": {
                "hash": record["hash"],
                "folder": str(folder.path),
                "created": record["created"],
                "seconds": seconds,
                "config": record["config"],
                "choices": record["choices"] + solved,
                "versions": record["versions"],
                "hardware": record["hardware"],
                "status": "finished",
                "warnings": warnings,
                "execution": said.get("execution"),
            },
            "network": {
                "name": record["config"]["network"]["name"],
                "parameters": record["num_parameters"],
                "text": None,
            },
            "curves": curves,
            "validation": figures.to_json(),
            "test": _test(folder, data, test),
            "notes": [*record.get("notes", ()), *notes, *(test.notes if test else ())],
            **parts,
            "data": _data(record, data) | parts.get("data", {}),
        },
        shown,
    )


def log_notes(folder: RunFolder) -> list[str]:
    """Sentences about the log of a finished run, where it is damaged or gone."""
    return _read_log(folder)[1]


def _read_log(folder: RunFolder) -> tuple[list[Event], list[str]]:
    """The events of a finished run, and a note; a damaged log stops no report."""
    problem = digests.why_damaged(folder.events, grows=True)
    if problem is None:
        try:
            events = read_events(folder.events)
            _curves(events)
            if any(event["event"] == "finished" for event in events):
                return events, []
        except (KeyError, TypeError, AttributeError):
            pass  # lines that no training wrote
        problem = f"{folder.events} does not hold the log of a whole training."
    return [], [f"{problem} The report has no curves; nothing else follows from the log."]


def _data(record: dict[str, Any], data: Dataset) -> dict[str, Any]:
    stored = record["data"]
    return {
        "title": data.title,
        "source": record["config"]["data"]["source"],
        "digest": data.digest,
        "licence": data.licence,
        "counts": {
            "train": [len(data.train)],
            "validation": [len(data.validation)],
            "test": data.test.num_items,
        },
        "fields": {k: f.summary(data.train.columns[k]) for k, f in data.fields.items()},
        "test_origin": data.test_origin,
        "test_openings": opened(data.test.digest),
        "input_size": stored.get("input_size", record["config"]["data"]["input_size"]),
        "channels": record["config"]["data"]["channels"],
        "notes": list(data.notes),
        "leaks": data.describe_leaks(),
        "broken": [{"name": b.name, "reason": b.reason} for b in data.broken],
    }


def _curves(events: list[Event]) -> dict[str, Any]:
    steps = [e for e in events if e["event"] == "step"]
    checks = [e for e in events if e["event"] == "validation"]
    return {
        "train": [[e["step"], e["loss"]] for e in steps],
        # Step, loss where there is one, and the headline metric with its interval.
        "validation": [
            [e["step"], e.get("loss"), e[e.get("metric", "error")], e["low"], e["high"]]
            for e in checks
        ],
        "lr": [[e["step"], e["lr"]] for e in steps],
        "unit": "step",
    }


def _test(folder: RunFolder, data: Dataset, test: OpenedTest | None) -> dict[str, Any] | None:
    if test is None:
        return None
    records = openings(data.test.digest)
    reading = adjusted_reading(records, opened(data.test.digest))
    verification = verify(data.test.digest, receipts_of(folder.path))
    time = next((row.time for row in records if row.number == test.opening.number), None)
    return {
        "measures": test.figures.to_json(),
        "opening": {"number": test.opening.number, "time": time},
        "ledger": [record.to_json() for record in records],
        "reading": reading.to_json() if reading else None,
        "findings": list(verification.findings),
        "notices": list(verification.notices),
    }
