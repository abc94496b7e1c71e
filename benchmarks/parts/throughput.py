"""Training throughput and its share of the machine's SGEMM peak.

A step is the whole of it: batch from memory to tensors, forward, loss, backward, SGD with
Nesterov momentum and weight decay. The batch is synthetic and the same for all.
"""

import itertools
from typing import Any

from benchmarks.harness.campaign import Options, chosen, run
from benchmarks.harness.round import Job, interleaved
from benchmarks.harness.store import Store
from benchmarks.harness.worker import call
from benchmarks.parts.search import Setting, best_setting, toggles
from benchmarks.parts.trainer import TRAINERS
from benchmarks.workers.cases import CASES

__all__ = ["EXPECTED_MINUTES", "SGEMM", "measure"]

EXPECTED_MINUTES = "90 (two cores, three repeats; compiling 15 of them, the search 10)"
SGEMM = "sgemm"
_SECONDS = 4.0
_TRIAL_SECONDS = 1.5
_LIMIT, _COMPILE_LIMIT = 420.0, 900.0
_LITTLE_WORK = 1e9  # multiply-adds of a batch forward
_QUICK_BATCH = 4


def measure(options: Options) -> bool:
    """All measurements of this part that are not made yet; True when it is whole."""
    store = options.store("throughput", seconds=_SECONDS)
    peers = chosen(options.only, TRAINERS, "peer")
    cases = chosen(options.cases, CASES, "network")
    repeats = options.repeats or (1 if options.quick else 3)
    jobs = itertools.chain(
        interleaved([SGEMM], ["torch"], repeats), interleaved(cases, peers, repeats)
    )

    def figures(job: Job) -> dict[str, Any]:
        if job.case == SGEMM:
            seconds = 0.3 if options.quick else 3.0
            return call(
                "sgemm.py",
                {"seconds": seconds},
                env="torch",
                limit=_LIMIT,
                instructions=options.isa,
            )
        return _train(store, options, job.case, job.peer)

    return run(
        store,
        jobs,
        figures,
        needs=lambda peer: TRAINERS[peer].env,
        shown=_shown,
        minutes=options.minutes,
    )


def _shown(found: dict[str, Any]) -> str:
    if "flops_per_second" in found:
        return f"{found['flops_per_second'] / 1e9:.0f} GFLOP/s"
    return f"{found['images_per_second']:.1f} images/s"


def _train(store: Store, options: Options, case: str, peer: str) -> dict[str, Any]:
    return _call(options, case, peer, _setting(store, options, case, peer), _SECONDS)


def _call(
    options: Options, case: str, peer: str, setting: Setting, seconds: float, fewest: int = 3
) -> dict[str, Any]:
    trainer = TRAINERS[peer]
    length: dict[str, Any] = {"case": case, "seconds": seconds, "fewest": fewest}
    if options.quick:
        length = {"case": case, "seconds": 0, "fewest": 1, "batch": _QUICK_BATCH}
    return call(
        trainer.worker,
        {**trainer.asked, **setting["asked"], **length},
        env=trainer.env,
        limit=_COMPILE_LIMIT if trainer.compiles else _LIMIT,
        instructions=options.isa,
        extra=setting["variables"],
    )


def _setting(store: Store, options: Options, case: str, peer: str) -> Setting:
    """Searched for once per network; compiled and bfloat16 PyTorch take over the tuned one's."""
    nothing: Setting = {"asked": {}, "variables": {}}
    if peer in ("torch-compile", "torch-compile-nhwc", "torch-bf16"):
        tuned = _searched(store, options, case, "torch-tuned")
        return {"asked": {}, "variables": tuned["variables"]}
    if not TRAINERS[peer].searched:
        return nothing
    return _searched(store, options, case, peer)


def _searched(store: Store, options: Options, case: str, peer: str) -> Setting:
    choices = store.content["choices"].setdefault(case, {})
    if peer not in choices:
        tried = toggles(
            peer, little_work=CASES[case].batch * CASES[case].multiply_adds < _LITTLE_WORK
        )
        if options.quick:
            tried = []

        def speed(setting: Setting) -> float:
            found = _call(options, case, peer, setting, _TRIAL_SECONDS, fewest=2)
            return float(found["images_per_second"])

        if tried:
            print(f"  {case} · {peer}: looking for its best settings", flush=True)
            choices[peer] = best_setting(speed, tried)
        else:
            choices[peer] = {"asked": {}, "variables": {}, "tried": []}
        store.write()
    held = choices[peer]
    return {"asked": held["asked"], "variables": held["variables"]}
