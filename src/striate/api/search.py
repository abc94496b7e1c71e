"""Search for settings: trials are ordinary runs of equal length, judged on validation only."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

from striate.api.request import Request
from striate.api.run import Run
from striate.api.search_plan import Beginning, check_asked
from striate.api.search_result import Search, found_so_far
from striate.api.study import Study, member, open_study
from striate.errors import ConfigError, DivergenceError, RunError, ShapeError
from striate.execution import lacks_memory
from striate.search import Space, read_words
from striate.search.storage import Storage
from striate.search.trial import Trial
from striate.terminal import Once, Reporter
from striate.training.events import Event, read_events

__all__ = ["search"]

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
    **how: Any,
) -> Search:
    """Try settings in trainings of equal length, and say which made the least validation error.

    The same call goes on after a kill; given in several processes at once, they share the trials.
    No trial can read the test split.

    Args:
        data: as in `train`.
        trials: finished ones that are wanted, those that were given up early among them.
        minutes: of the whole search, over all its processes; each trial has an equal part. None:
            each is as long as `train` would make it, or `epochs` or `steps`.
        space: what is searched, each KEY=VALUES, a file, or "defaults"; none: what surrounds the
            plan for the data.
        prune: give up trials whose error is above the median of the others at the same point.
        out: folder of the study; None: one under runs/ that follows from what is asked.
        reporter: is told what happens; None: nobody.
        started: `time.monotonic()` when the clock of `minutes` began; None: now.
        how: the other arguments of `train`.

    Raises:
        ConfigError, DataError, RunError, CheckpointError.
    """
    started = time.monotonic() if started is None else started
    reporter = Once(reporter or Reporter())
    dimensions, keep = read_words(space)
    each = None if minutes is None else float(f"{minutes / max(1, trials):.4g}")
    request = Request(data, minutes=each, **how)
    check_asked(trials, minutes, dimensions, request)
    begun = Beginning(request, dimensions, keep, prune, started, minutes, trials, reporter)
    asked = {"space": [d.to_json() for d in dimensions], "defaults": keep, "prune": prune}
    study = open_study("search", request, out, reporter, also=asked, complete=begun.complete)
    known = Space.from_json(study.beside["space"])
    reporter.say("\n".join(["What is searched:", *_described(known)]))
    training = known.plan.training
    storage = Storage(
        study.path, known, seed=training.seed, points=training.validations, prune=prune
    )
    length = None if minutes is None or training.minutes is None else 60 * training.minutes

    def may_begin() -> bool:
        if length is None:
            return True
        records = storage.records()
        used = sum(record.told.get("seconds", 0.0) for record in records)
        used += sum(record.state == "running" for record in records) * length
        return bool(used + 0.5 * length < length * trials)

    while True:
        with storage.claim(trials, may_begin) as trial:
            if trial is None:
                break
            stopped_by = _train(study, storage, trial, trials, reporter)
        if stopped_by is not None:
            return found_so_far(study, known, storage, stopped_by=stopped_by)
        _stop_if_all_fail(storage)
        found_so_far(study, known, storage).write()
    found = found_so_far(study, known, storage, compared=True)
    found.write()
    return found


def _described(space: Space) -> list[str]:
    wide = max(len(dimension.key) for dimension in space.dimensions)
    return [
        f"  {d.key:<{wide}}  {d.spell()}{'  (multiples of the plan)' if d.relative else ''}"
        for d in space.dimensions
    ]


def _train(
    study: Study, storage: Storage, trial: Trial, trials: int, reporter: Reporter
) -> int | None:
    """Train one trial; the number of the signal that stopped it, if one did."""
    if trial.proposal is None:
        trial.fail(trial.problem)
        return None
    finished = sum(record.is_finished for record in storage.records())
    words = ", ".join(f"{key} {value}" for key, value in trial.proposal.values.items())
    again = ", resumed" if trial.resumed else ""
    reporter.say(f"Trial {trial.number} ({finished + 1} of {trials}{again}): {words}")
    name = f"trial-{trial.number:03d}"
    trial.note(run=name, values=dict(trial.proposal.values))

    def prune(event: Event) -> str | None:
        if event["event"] != "validation" or event["progress"] >= 1:
            return None
        hopeless = trial.report(event["progress"], event[event["metric"]], event["low"])
        return "given up" if hopeless else None

    try:
        run = member(study, name, trial.proposal.config, reporter, prune)
    except DivergenceError as error:
        reporter.say(f"Trial {trial.number} diverged.")
        _tidy(study.path / name, trial, ended=str(error))
        trial.prune()
        return None
    except (ConfigError, ShapeError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not lacks_memory(error):
            raise
        reporter.say(f"Trial {trial.number} cannot be trained: {error}")
        trial.fail(str(error))
        return None
    except RunError as error:
        if not trial.resumed:
            raise
        reporter.say(f"Trial {trial.number} cannot be resumed: {error}")
        trial.fail(str(error))
        return None
    if run.stopped_by is not None:
        return run.stopped_by
    _conclude(run, trial, reporter)
    return None


def _conclude(run: Run, trial: Trial, reporter: Reporter) -> None:
    if not run.is_finished:
        points = [e for e in read_events(run.folder.events) if e["event"] == "validation"]
        last = points[-1]
        reporter.say(
            f"Trial {trial.number} given up at {last['progress']:.0%}: error {last['error']:.2%}, "
            "more than the median there, and not by chance."
        )
        _tidy(run.path, trial, ended=f"given up at {last['progress']:.0%}")
        trial.prune()
        return
    measures = run.validation
    error = measures.error
    reporter.say(f"Trial {trial.number}: error {error.value:.2%} ({error.count} of {error.n:,})")
    told = measures.negative_log_likelihood
    loss = None if told is None or not math.isfinite(told.value) else told.value
    trial.note(wrong=error.count, n=error.n, loss=loss)
    _tidy(run.path, trial)
    trial.finish(error.value)


def _tidy(folder: Path, trial: Trial, **told: Any) -> None:
    """Note the time that was used; the checkpoints of so many runs would fill a disk."""
    seconds = [e["seconds"] for e in read_events(folder / "events.jsonl") if "seconds" in e]
    trial.note(seconds=max(seconds, default=0.0), **told)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _stop_if_all_fail(storage: Storage) -> None:
    last = [r for r in storage.records() if r.state != "running"][-_FAILURES:]
    if len(last) == _FAILURES and all(record.state == "failed" for record in last):
        reasons = {record.told.get("reason", "") for record in last}
        raise RunError(
            f"{_FAILURES} trials in a row could not be trained: {' '.join(sorted(reasons))} "
            "Search other values with --space, or give other settings."
        )
