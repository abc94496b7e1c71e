"""Search for settings: trials are ordinary runs of equal length, compared on validation only."""

import shutil
import time
from pathlib import Path
from typing import Any

from striate.api.headline import (
    headline,
    headline_metric,
    validation_loss,
)
from striate.api.request import Request
from striate.api.run import Run
from striate.api.search_plan import SearchPlan, check_request
from striate.api.search_result import Search, search_result
from striate.api.study import Study, open_study, train_run
from striate.drawing.table import text_table
from striate.errors import ConfigError, DivergenceError, RunError, ShapeError
from striate.evaluation import Proportion, format_metric, format_value
from striate.execution import lacks_memory
from striate.reading import reported_as
from striate.search import Space, read_dimensions
from striate.search.storage import Storage
from striate.search.trial import Trial
from striate.terminal import Once, Reporter
from striate.training.events import Event, read_events

_FAILURES = 3
"""After so many trials in a row that could not be trained, the next one will not be either."""


def search(
    data: str | Path,
    *,
    trials: int = 20,
    minutes: float | None = None,
    space: tuple[str, ...] = (),
    prune: bool = True,
    out: Path | None = None,
    reporter: Reporter | None = None,
    started: float | None = None,
    **request: Any,
) -> Search:
    """Try settings in trainings of equal length, and find those with the best validation metric.

    The same call continues after a kill; several processes that make it at once share the
    trials. No trial can read the test split.

    Args:
        data: Path or name.
        trials: Number of finished trials, those that were stopped early among them.
        minutes: Time for the whole search, over all its processes; each trial has an equal part.
            None: each is as long as `train` would make it, or `epochs` or `steps`.
        space: Dimensions to search, each KEY=VALUES, a file, or "defaults"; none: those that
            surround the plan for the data.
        prune: Stop trials whose metric is worse than the median of the others at the same point.
        out: Folder of the study; None: one under runs/ whose name follows from the request.
        reporter: Receives what happens; None: nobody.
        started: `time.monotonic()` when the clock of `minutes` began; None: now.
        request: Any other field of `Request`.

    Raises:
        ConfigError, DataError, RunError, CheckpointError.
    """
    started = time.monotonic() if started is None else started
    reporter = Once(reporter or Reporter())
    dimensions, keep = read_dimensions(space)
    each = None if minutes is None else float(f"{minutes / max(1, trials):.4g}")
    training_request = Request(data, minutes=each, **request)
    check_request(training_request, trials, minutes, dimensions)
    plan = SearchPlan(training_request, dimensions, keep, prune, started, minutes, trials)
    also = {"space": [d.to_json() for d in dimensions], "defaults": keep, "prune": prune}
    study = open_study("search", training_request, out, reporter, plan.complete, also)
    with reported_as(RunError, f"{study.path / 'study.json'} cannot be read"):
        searched = Space.from_json(study.beside["space"])
    rows = [
        [f"  {d.key}", f"{d.spell()}{'  (multiples of the plan)' if d.relative else ''}"]
        for d in searched.dimensions
    ]
    reporter.say("Settings to search:\n" + text_table(rows, "<"))
    lower_is_better = study.beside.get("lower_is_better", True)
    storage = Storage(study.path, searched, prune=prune, lower_is_better=lower_is_better)
    training = searched.plan.training
    length = None if minutes is None or training.minutes is None else 60 * training.minutes
    while True:
        with storage.claim(trials, lambda: _may_begin(storage, trials, length)) as trial:
            if trial is None:
                break
            stopped_by = _train(study, storage, trial, trials, reporter)
        if stopped_by is not None:
            return search_result(study, storage, stopped_by=stopped_by)
        _stop_if_all_fail(storage)
        search_result(study, storage).write()
    result = search_result(study, storage, compared=True)
    result.write()
    return result


def _may_begin(storage: Storage, trials: int, length: float | None) -> bool:
    """Whether the time of the search, `trials` of `length` seconds, has half a trial left."""
    if length is None:
        return True
    records = storage.records()
    used = sum(record.notes.get("seconds") or 0.0 for record in records)
    used += sum(record.state == "running" for record in records) * length
    return bool(used + 0.5 * length < length * trials)


def _train(
    study: Study, storage: Storage, trial: Trial, trials: int, reporter: Reporter
) -> int | None:
    """Train one trial; the number of the signal that stopped it, if one did."""
    if isinstance(trial.proposal, str):
        trial.end("failed", reason=trial.proposal)
        return None
    finished = sum(record.is_finished for record in storage.records())
    settings = ", ".join(f"{key} {value}" for key, value in trial.proposal.values.items())
    resumed = ", resumed" if trial.resumed else ""
    reporter.say(f"Trial {trial.number} ({finished + 1} of {trials}{resumed}): {settings}")
    name = f"trial-{trial.number:03d}"
    folder = study.path / name
    trial.note(run=name, values=dict(trial.proposal.values))

    def prune(event: Event) -> str | None:
        if event["event"] != "validation" or event["progress"] >= 1:
            return None
        end = event["low" if headline_metric(Run(folder)).lower_is_better else "high"]
        return "pruned" if trial.report(event["progress"], event[event["metric"]], end) else None

    try:
        run = train_run(study, name, trial.proposal.config, reporter, prune)
    except DivergenceError as error:
        reporter.say(f"Trial {trial.number} diverged.")
        trial.end("pruned", **_tidied(folder), ended=str(error))
        return None
    except (ConfigError, ShapeError, MemoryError, RuntimeError, RunError) as error:
        cannot_resume = isinstance(error, RunError)
        if cannot_resume and not trial.resumed:
            raise
        if isinstance(error, RuntimeError) and not lacks_memory(error):
            raise
        verb = "resumed" if cannot_resume else "trained"
        reporter.say(f"Trial {trial.number} cannot be {verb}: {error}")
        trial.end("failed", reason=str(error))
        return None
    if run.stopped_by is None:
        _conclude(run, trial, reporter)
    return run.stopped_by


def _conclude(run: Run, trial: Trial, reporter: Reporter) -> None:
    metric = headline_metric(run).name
    if not run.is_finished:
        last = [e for e in read_events(run.folder.events) if e["event"] == "validation"][-1]
        at, value = f"{last['progress']:.0%}", format_metric(last[metric], last["is_share"])
        reporter.say(
            f"Trial {trial.number} pruned at {at}: {metric} {value}, worse than the median there "
            "with its whole interval."
        )
        trial.end("pruned", **_tidied(run.path), ended=f"pruned at {at}")
        return
    result = headline(run)
    count = f" ({result.count} of {result.n:,})" if isinstance(result, Proportion) else ""
    reporter.say(f"Trial {trial.number}: {metric} {format_value(result)}{count}")
    if isinstance(result, Proportion):
        trial.note(wrong=result.count, n=result.n)
    else:
        trial.note(low=result.low, high=result.high, n=run.validation.n)
    trial.end("whole", result.value, loss=validation_loss(run), **_tidied(run.path))


def _tidied(folder: Path) -> dict[str, float]:
    """Remove the checkpoints, which would fill a disk; the seconds that the trial took."""
    seconds = [e["seconds"] for e in read_events(folder / "events.jsonl") if "seconds" in e]
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return {"seconds": max(seconds, default=0.0)}


def _stop_if_all_fail(storage: Storage) -> None:
    last = [r for r in storage.records() if r.state != "running"][-_FAILURES:]
    if len(last) == _FAILURES and all(record.state == "failed" for record in last):
        reasons = {record.notes.get("reason", "") for record in last}
        raise RunError(
            f"{_FAILURES} trials in a row could not be trained: {' '.join(sorted(reasons))} "
            "Search other values with --space, or give other settings."
        )
