"""The command `striate` in a process of its own, without importing everything for each.

A process that has imported what commands need forks for each of them: importing takes three
quarters of a short command's time. What a variable changes before or while Python imports is run
in a fresh interpreter.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

_SERVER = """
import json, os, sys
import jinja2, mpmath, pydantic, sympy, typer.rich_utils, typer._adapters
import scipy.optimize, scipy.stats, sklearn.cluster, sklearn.linear_model
import striate.api, striate.cli, striate.inspection
for line in sys.stdin:
    asked = json.loads(line)
    pid = os.fork()
    if not pid:
        break
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()
for path, descriptor, how in zip(
    (os.devnull, asked["out"], asked["err"]), (0, 1, 2), (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
):
    opened = os.open(path, how)
    os.dup2(opened, descriptor)
    os.close(opened)
os.environ.clear()
os.environ.update(asked["environment"])
os.chdir(asked["folder"])
sys.argv = ["striate", *asked["words"]]
striate.cli.command()
"""
_TIMEOUT = 300
_server: subprocess.Popen[str] | None = None


def run(
    *words: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command; its output as text, its exit code, minus the signal that killed it.

    Args:
        words: Arguments.
        cwd: Working folder.
        environment: Variables beside those of this process.
    """
    arguments = [str(word) for word in words]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    if all(name.startswith("STRIATE_") and name != "STRIATE_ISA" for name in environment):
        return _forked(arguments, cwd or Path.cwd(), variables)
    return subprocess.run(
        [sys.executable, "-m", "striate", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
        cwd=cwd,
        env=variables,
    )


def stop() -> None:
    """End the process that forks."""
    global _server
    if _server is not None:
        _server.communicate()
        _server = None


def _forked(
    words: list[str], folder: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    global _server
    if _server is None or _server.poll() is not None:
        _server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    with tempfile.TemporaryDirectory() as written:
        out, err = Path(written, "out"), Path(written, "err")
        out.touch()
        err.touch()
        asked = {"words": words, "folder": str(folder), "environment": variables}
        print(
            json.dumps({**asked, "out": str(out), "err": str(err)}), file=_server.stdin, flush=True
        )
        if not select.select([_server.stdout], [], [], _TIMEOUT)[0]:
            os.killpg(_server.pid, 9)
            raise subprocess.TimeoutExpired(["striate", *words], _TIMEOUT)
        code = int(_server.stdout.readline())
        return subprocess.CompletedProcess(
            ["striate", *words], code, out.read_text(), err.read_text()
        )
