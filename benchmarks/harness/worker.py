"""A worker's command line and its environment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import environment, isa
from benchmarks.harness.process import clean_environment, measured

__all__ = ["call", "variables"]

_WORKERS = Path(__file__).parents[1] / "workers"


def call(
    worker: str,
    asked: Mapping[str, Any],
    *,
    env: str | None,
    limit: float,
    instructions: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The figures of one worker.

    Args:
        worker: name of its file.
        asked: its argument.
        env: environment; None is Striate's own.
        limit: seconds.
        instructions: limit on the instruction set.
        extra: environment variables.

    Raises:
        FailureError, AbsentError.
    """
    python = environment.interpreter(env)
    command = [str(python), str(_WORKERS / worker), json.dumps(dict(asked))]
    given = variables(env, instructions, extra)
    return measured(command, environment=given, limit=limit)


def variables(
    env: str | None, instructions: str | None = None, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a worker or a command: caches of its own, nothing that steers it."""
    own = {
        "TORCHINDUCTOR_CACHE_DIR": str(environment.place("inductor")),
        "KERAS_HOME": str(environment.place("keras")),
        "STRIATE_CACHE": str(environment.cache(instructions)),
        "STRIATE_HOME": str(environment.place("home")),
        "PYTHONWARNINGS": "ignore",
        **isa.variables(instructions),
        **(extra or {}),
    }
    return clean_environment(own, keep_path=env is None)
