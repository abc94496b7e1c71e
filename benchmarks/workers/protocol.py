"""What a worker and the harness say to each other: one JSON argument in, one JSON line out."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["argument", "peak_memory", "say", "timed"]

# The first steps allocate, choose algorithms and compile; caches and clocks settle after them.
_WARM_STEPS = 2
_WARM_SECONDS = 0.5


def argument() -> dict[str, Any]:
    """What is to be measured."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    return asked


def say(**found: Any) -> None:
    """Print the figures."""
    print(json.dumps(found), flush=True)


def timed(step: Callable[[], object], seconds: float, fewest: int = 3) -> dict[str, Any]:
    """Seconds of a step: median and quartiles of as many as fit into `seconds`, after a warm-up.

    Args:
        step: does one, and returns when it is done.
        seconds: to measure for.
        fewest: steps measured at least.
    """
    began = time.perf_counter()
    warm = 0
    while warm < _WARM_STEPS or (seconds and time.perf_counter() - began < _WARM_SECONDS):
        step()
        warm += 1
    warmed = time.perf_counter()
    times: list[float] = []
    while len(times) < fewest or time.perf_counter() - warmed < seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times
    return {
        "step_seconds": statistics.median(times),
        "step_quartiles": [quartiles[0], quartiles[-1]],
        "steps": len(times),
        "warm_up_seconds": round(warmed - began, 3),
    }


def peak_memory() -> dict[str, int]:
    """Bytes of memory that this process holds now, and the most it ever held."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss, which a process inherits from the one that started it.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        found = {"peak_bytes": lines["VmHWM"], "held_bytes": lines["VmRSS"]}
        return {name: 1024 * int(value.split()[0]) for name, value in found.items()}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_bytes": most * (1 if sys.platform == "darwin" else 1024)}
