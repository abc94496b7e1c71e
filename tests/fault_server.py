"""Runs commands in forked processes whose file system fails; `test_faults.py` talks to it.

A job is a line of JSON on standard input: words of the command, folder to run in, environment,
files for its output, and the fault (none; kind, number, error and mode of `inject.c`; or the
moment in seconds at which it is killed). The reply is a line of JSON on standard output. One
process imports the package once, for all of them.
"""

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any


class Seen(ctypes.Structure):
    """What the injector saw; see `struct seen` in inject.c."""

    _fields_ = (
        ("reads", ctypes.c_long),
        ("writes", ctypes.c_long),
        ("refused", ctypes.c_long),
        ("first", ctypes.c_char * 600),
    )


def run(job: dict[str, Any], library: ctypes.CDLL) -> dict[str, Any]:
    """Run one command; the exit code is None where it hung."""
    began = time.monotonic()
    seen = ctypes.cast(library.inject_seen(), ctypes.POINTER(Seen)).contents
    process = os.fork()
    if process == 0:
        os.chdir(job["folder"])
        os.environ.update(job["environment"])
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(file, descriptor)
        sys.argv = ["striate", *job["words"]]
        fault = {"kind": 1, "number": 0, "error": 0, "mode": 0, **(job["fault"] or {})}
        library.inject(
            job["below"].encode(),
            fault["kind"],
            ctypes.c_long(fault["number"]),
            fault["error"],
            fault["mode"],
        )
        from striate.cli import command

        command()
    code: int | None = None
    moment = (job["fault"] or {}).get("moment")
    while time.monotonic() - began < job["limit"]:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        if moment is not None and time.monotonic() - began > moment:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.002)
    else:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return {
        "code": code,
        "calls": [seen.reads, seen.writes],
        "refused": seen.refused,
        "first": seen.first.decode(errors="replace"),
        "seconds": time.monotonic() - began,
    }


def main() -> None:
    """Import what commands need, then run jobs until standard input ends."""
    # What commands import when they are called, once for all of them.
    import optuna.samplers  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    import striate.api.compare
    import striate.api.crossvalidation
    import striate.api.external
    import striate.api.inspection
    import striate.api.search
    import striate.cli  # noqa: F401

    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked"
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.inject_seen.restype = ctypes.c_void_p
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), library)), flush=True)


if __name__ == "__main__":
    main()
