"""Data throughput: `benchmarks/data_throughput.py`, whose JSON is kept among the results."""

import sys
from typing import Any

from benchmarks.harness import environment
from benchmarks.harness.campaign import Options, run
from benchmarks.harness.process import FailureError, finished
from benchmarks.harness.round import Job
from benchmarks.harness.store import load
from benchmarks.harness.worker import variables

__all__ = ["EXPECTED_MINUTES", "measure"]

EXPECTED_MINUTES = "10"
_LIMIT = 1800.0


def measure(options: Options) -> bool:
    """The figures of this part, if they are not there yet; True when it is whole."""
    store = options.store("data")
    script = environment.ROOT / "benchmarks" / "data_throughput.py"

    def figures(_: Job) -> dict[str, Any]:
        if not script.is_file():
            raise FailureError(f"{script} is not there")
        into = environment.place("data.json")
        into.parent.mkdir(parents=True, exist_ok=True)
        into.unlink(missing_ok=True)
        quick = ["--quick"] if options.quick else []
        finished(
            [sys.executable, str(script), "--json", str(into), *quick],
            environment=variables(None, options.isa),
            limit=_LIMIT,
        )
        if not into.is_file():
            raise FailureError(f"{script.name} wrote no {into.name}")
        return load(into)

    return run(
        store,
        [Job("data", "striate", 0)],
        figures,
        needs=lambda _: None,
        shown=lambda found: f"{len(found)} entries",
        minutes=options.minutes,
    )
