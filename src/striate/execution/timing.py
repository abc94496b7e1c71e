"""Several ways to do one thing, timed in turns, the slow ones dropped early."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

_HOPELESS = 1.5
"""Times the best: noise on a shared machine rarely reaches it, and turns are expensive."""


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
) -> dict[str, Timing]:
    """Timings of calls that do the same, in their order.

    Each entrant has a first turn that warms it up, then turns in rounds of all, so that a
    disturbance of the machine meets every one. What is far behind the best drops out. After
    `seconds` no new round begins; a slow call can overrun it by one round.

    Args:
        entrants: Calls by name.
        seconds: Time to spend.
        least_turns: Number of turns that count, even if the time is over.
        most_turns: Largest number of turns that count, for each.

    Example:
        >>> sorted(race({"a": lambda: 1, "b": lambda: 2}, 0.01))
        ['a', 'b']
    """
    began = perf_counter()
    first = {name: _timed(call) for name, call in entrants.items()}
    turns: dict[str, list[float]] = {name: [] for name in entrants}
    running = set(first)
    for turn in range(most_turns):
        if turn >= least_turns and perf_counter() - began >= seconds:
            break
        best = min(min([first[name], *turns[name]]) for name in entrants)
        running = {n for n in running if min([first[n], *turns[n]]) <= _HOPELESS * best}
        for name in entrants:
            if name in running:
                turns[name].append(_timed(entrants[name]))
    return {name: Timing.of(turns[name] or [first[name]]) for name in entrants}


def _timed(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
