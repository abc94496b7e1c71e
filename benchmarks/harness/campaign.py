"""A benchmark from its first job to its last: interleaved, resumed, within its time."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import environment
from benchmarks.harness.environment import AbsentError
from benchmarks.harness.machine import Neighbours
from benchmarks.harness.process import FailureError
from benchmarks.harness.round import Job
from benchmarks.harness.store import Store

__all__ = ["Options", "chosen", "run"]


@dataclass(frozen=True)
class Options:
    """What a person asked of a benchmark."""

    results: Path
    quick: bool = False
    only: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    repeats: int | None = None
    isa: str | None = None
    fresh: bool = False
    minutes: float | None = None
    data: str | None = None

    def store(self, part: str, **settings: Any) -> Store:
        """The results of a part, kept apart for quick runs."""
        settings["quick"] = self.quick
        return Store(self.results, part, isa=self.isa, settings=settings, fresh=self.fresh)


def chosen(asked: Sequence[str], known: Iterable[str], what: str) -> list[str]:
    """The asked names in the known order; all where none was asked.

    Raises:
        SystemExit: a name that nobody knows.
    """
    known = list(known)
    wrong = [name for name in asked if name not in known]
    if wrong:
        raise SystemExit(f"No such {what}: {', '.join(wrong)}. There are: {', '.join(known)}.")
    return [name for name in known if not asked or name in asked]


def run(
    store: Store,
    jobs: Iterable[Job],
    measure: Callable[[Job], dict[str, Any]],
    *,
    needs: Callable[[str], str | None],
    shown: Callable[[dict[str, Any]], str],
    minutes: float | None = None,
) -> bool:
    """Make the measurements that the store lacks; True when all of them are made.

    A peer that is absent or fails is noted and left out of the rest; the others go on.

    Args:
        store: of the results.
        jobs: in their order.
        measure: the figures of a job; raises `FailureError`.
        needs: the environment of a peer, or None.
        shown: figures in a few words.
        minutes: begin nothing after these.
    """
    began = time.monotonic()
    failed: set[tuple[str, str]] = set()
    todo = [job for job in jobs if not store.has(job)]
    print(f"{store.path}: {len(todo)} measurement(s) to make", flush=True)
    for number, job in enumerate(todo, start=1):
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            print(f"  {minutes:g} minutes are over; the same command goes on from here.")
            return False
        if job.peer in store.content["absent"] or (job.case, job.peer) in failed:
            continue
        words = f"  [{number}/{len(todo)}] {job.case} · {job.peer} · {job.repeat + 1}"
        try:
            environment.interpreter(needs(job.peer))
        except AbsentError as reason:
            store.content["absent"][job.peer] = str(reason)
            store.write()
            print(f"{words}: absent: {reason}", flush=True)
            continue
        neighbours = Neighbours()
        try:
            found = measure(job)
        except (FailureError, AbsentError) as reason:
            failed.add((job.case, job.peer))
            store.add(job, error=str(reason))
            print(f"{words}: failed: {reason}", flush=True)
            continue
        share = neighbours.share()
        others = None if share is None else round(share, 3)
        store.add(job, value=found, others=others)
        note = f" (others used {others:.0%} of the machine)" if others and others > 0.1 else ""
        print(f"{words}: {shown(found)}{note}", flush=True)
    return True
