"""One measurement in a process of its own, ended with all its children when its time is up."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FailureError", "clean_environment", "finished", "measured"]

# Would decide for every peer what each should decide for itself.
_DROPPED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "OMP_WAIT_POLICY",
    "KMP_BLOCKTIME",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "MALLOC_ARENA_MAX",
    "XLA_FLAGS",
    "KERAS_BACKEND",
)
_LAST_WORDS = 600


class FailureError(RuntimeError):
    """A measurement that gave no figures; the text says why."""


def clean_environment(extra: Mapping[str, str], *, keep_path: bool = False) -> dict[str, str]:
    """This process's environment without what would steer a peer, and with `extra`.

    Args:
        extra: set last.
        keep_path: leave PYTHONPATH, for Striate run from its source folder.
    """
    dropped = {name for name in _DROPPED if not (keep_path and name == "PYTHONPATH")}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONNOUSERSITE": "1", **extra}


def finished(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limit: float,
    folder: Path | None = None,
) -> tuple[str, float]:
    """Standard output and wall seconds of a command.

    Raises:
        FailureError: it ended with an error, or not within `limit` seconds.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        list(command),
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _end(process)
            raise FailureError(f"not done within {limit:.0f} s") from None
        except BaseException:
            _end(process)
            raise
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        words = (err.strip() or out.strip())[-_LAST_WORDS:]
        raise FailureError(f"exit code {process.returncode}: {words}")
    return out, seconds


def measured(
    command: Sequence[str], *, environment: Mapping[str, str], limit: float
) -> dict[str, Any]:
    """The JSON object in the last line that a worker prints, with its wall seconds.

    Raises:
        FailureError: as `finished`, or no such line.
    """
    out, seconds = finished(command, environment=environment, limit=limit)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    try:
        value = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise FailureError(f"no figures in its output: {out.strip()[-_LAST_WORDS:]!r}") from None
    return {**value, "wall_seconds": round(seconds, 2)}


def _end(process: "subprocess.Popen[str]") -> None:
    """Kill the process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
