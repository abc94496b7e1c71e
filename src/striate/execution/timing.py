"""Several ways to do one thing, timed in turns, the slow ones dropped early."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_HOPELESS = 1.5
"""Times the best: noise on a shared machine rarely reaches it, and turns are dear."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, over some turns."""

    best: float
    median: float
    worst: float
    num_turns: int

    @classmethod
    def of(cls, seconds: list[float]) -> "Timing":
        return cls(min(seconds), statistics.median(seconds), max(seconds), len(seconds))


def race(
    entrants: Mapping[str, Callable[[], object]],
    seconds: float,
    *,
    least_turns: int = 0,
    most_turns: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Timings of calls that do the same, in the order given.

    Each entrant has a first turn that warms it up, then turns in rounds of all, so that a
    disturbance of the machine meets all alike. What is far behind the best drops out. After
    `seconds` no new round begins; a slow call can overrun it by one round.

    Args:
        entrants: name -> call.
        seconds: to be spent.
        least_turns: that count, even if the time is over.
        most_turns: that count, for each.
        clock: gives seconds.

    Example:
        >>> sorted(race({"a": lambda: 1, "b": lambda: 2}, 0.01))
        ['a', 'b']
    """
    began = clock()
    first = {name: _timed(call, clock) for name, call in entrants.items()}
    turns: dict[str, list[float]] = {name: [] for name in entrants}
    running = set(first)
    for turn in range(most_turns):
        if turn >= least_turns and clock() - began >= seconds:
            break
        best = min(min([first[name], *turns[name]]) for name in entrants)
        running = {n for n in running if min([first[n], *turns[n]]) <= _HOPELESS * best}
        for name in entrants:
            if name in running:
                turns[name].append(_timed(entrants[name], clock))
    return {name: Timing.of(turns[name] or [first[name]]) for name in entrants}


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
