"""Seconds until something happens: a command's help, a training's first step, an import."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import environment
from benchmarks.harness.campaign import Options, chosen, run
from benchmarks.harness.process import FailureError, finished
from benchmarks.harness.round import Job, interleaved
from benchmarks.harness.worker import variables

__all__ = ["EXPECTED_MINUTES", "STARTS", "Start", "measure"]

EXPECTED_MINUTES = "5 (two cores, seven repeats)"
_LIMIT = 180.0
_POLL = 0.01
_CASE = "seconds"


@dataclass(frozen=True)
class Start:
    """A command whose time is taken, to its end or to the first step that it writes down."""

    title: str
    env: str | None
    command: tuple[str, ...]
    until_step: bool = False


STARTS = {
    "python": Start("`python -c pass`", None, ("-c", "pass")),
    "help": Start("`striate --help`", None, ("-m", "striate", "--help")),
    "first-step": Start(
        "`striate train digits`, first step written", None, ("train", "digits"), until_step=True
    ),
    "import-striate": Start("`import striate`", None, ("-c", "import striate")),
    "import-torch": Start("`import torch`", "torch", ("-c", "import torch")),
    "import-jax": Start("`import jax, flax`", "jax", ("-c", "import jax, flax")),
    "import-lightning": Start("`import lightning`", "lightning", ("-c", "import lightning")),
    "import-keras": Start("`import keras` on PyTorch", "keras", ("-c", "import keras")),
}


def measure(options: Options) -> bool:
    """All measurements of this part that are not made yet; True when it is whole."""
    store = options.store("startup")
    peers = chosen(options.only, STARTS, "start")

    def figures(job: Job) -> dict[str, Any]:
        start = STARTS[job.peer]
        backend = {"KERAS_BACKEND": "torch"} if start.env == "keras" else {}
        given = variables(start.env, options.isa, backend)
        if start.until_step:
            return {"seconds": round(_until_step(start, given), 3)}
        python = str(environment.interpreter(start.env))
        _, seconds = finished([python, *start.command], environment=given, limit=_LIMIT)
        return {"seconds": round(seconds, 3)}

    return run(
        store,
        interleaved([_CASE], peers, options.repeats or (1 if options.quick else 7)),
        figures,
        needs=lambda peer: STARTS[peer].env,
        shown=lambda found: f"{found['seconds']:.2f} s",
        minutes=options.minutes,
    )


def _until_step(start: Start, given: Mapping[str, str]) -> float:
    """Seconds until the run's events hold a step."""
    folder = Path(tempfile.mkdtemp(prefix="striate-startup-"))
    run_folder = folder / "run"
    command = [sys.executable, "-m", "striate", *start.command, "--out", str(run_folder)]
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        env=dict(given),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while not _has_step(run_folder / "events.jsonl"):
                if process.poll() is not None:
                    raise FailureError(f"it ended before a step, exit code {process.returncode}")
                if time.perf_counter() - began > _LIMIT:
                    raise FailureError(f"no step within {_LIMIT:.0f} s")
                time.sleep(_POLL)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _has_step(events: Path) -> bool:
    if not events.is_file():
        return False
    for line in events.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):
            if json.loads(line).get("event") == "step":
                return True
    return False
