"""The most memory that a training holds: peak resident set of a few steps, process and all."""

from typing import Any

from benchmarks.harness.campaign import Options, chosen, run
from benchmarks.harness.round import Job, interleaved
from benchmarks.harness.worker import call
from benchmarks.parts.trainer import TRAINERS
from benchmarks.workers.cases import CASES

__all__ = ["EXPECTED_MINUTES", "measure"]

EXPECTED_MINUTES = "20 (two cores, one repeat)"
_STEPS = 4
_LIMIT = 900.0
_QUICK_BATCH = 4


def measure(options: Options) -> bool:
    """All measurements of this part that are not made yet; True when it is whole."""
    store = options.store("memory", steps=_STEPS)
    peers = chosen(options.only, TRAINERS, "peer")
    cases = chosen(options.cases, CASES, "network")

    def figures(job: Job) -> dict[str, Any]:
        trainer = TRAINERS[job.peer]
        batch = {"batch": _QUICK_BATCH} if options.quick else {}
        return call(
            trainer.worker,
            {**trainer.asked, "case": job.case, "seconds": 0, "fewest": _STEPS, **batch},
            env=trainer.env,
            limit=_LIMIT,
            instructions=options.isa,
        )

    return run(
        store,
        # Memory hardly varies: one repeat is enough unless more are asked for.
        interleaved(cases, peers, options.repeats or 1),
        figures,
        needs=lambda peer: TRAINERS[peer].env,
        shown=lambda found: f"{found['peak_bytes'] / 2**20:,.0f} MiB",
        minutes=options.minutes,
    )
