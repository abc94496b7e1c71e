"""Disks that fail under every command: said in a sentence, and repeating ends where it would have.

Each command runs once to count its calls on files, then again for each of them: refused with an
input/output error, on a disk that is full or read-only from there on, cut in the middle of a
write, killed there. What the message says to type is typed, and must end on the same result.
A run of the tests takes a sample; `STRIATE_FAULTS=all` tries every call in every way. Six commands
are also killed at random moments, `STRIATE_KILLS=34` times each.
"""

import errno
import itertools
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.evaluation import load_predictions, openings, verify
from striate.run_folder import RunFolder
from striate.training.events import TIMING, read_events

TESTS = Path(__file__).parents[1]
READS, WRITES = 0, 1
ONCE, FROM_THERE_ON, TORN, KILL, TORN_KILL = range(5)
WAYS = {
    WRITES: [
        (errno.EIO, ONCE),
        (errno.ENOSPC, FROM_THERE_ON),
        (errno.EROFS, FROM_THERE_ON),
        (errno.ENOSPC, TORN),
        (errno.EIO, KILL),
        (errno.EIO, TORN_KILL),
    ],
    READS: [(errno.EIO, ONCE), (errno.EIO, FROM_THERE_ON)],
}
TRIED = os.environ.get("STRIATE_FAULTS", "8")
"""Faults of each command that are tried: a number, or all."""
KILLS = int(os.environ.get("STRIATE_KILLS", "3"))
SMALL = [
    "--network", "airbench", "--set", "network.widths=[8,8]", "--set", "training.batch_size=8",
    "--set", "training.checkpoints=2", "--set", "training.validations=1",
    "--set", "execution.threads=1",
]  # fmt: skip


def words(*further: str, command: str = "train", steps: int = 4) -> list[str]:
    """The words of a small training, and further ones."""
    return [command, "{data}", "--steps", str(steps), *SMALL, *further]


def run_outcome(folder: Path) -> Any:
    """All that a training ends with, but for the clock."""
    run = folder / "run"
    files = ("network.safetensors", "validation.safetensors", "calibration.json")
    events = [
        {key: value for key, value in event.items() if key not in TIMING}
        for event in read_events(run / "events.jsonl")
    ]
    return [(run / name).read_bytes() for name in files], events


def evaluated(folder: Path) -> Any:
    """The predictions of the test split; its ledger is sound and knows an opening with a result."""
    run = RunFolder.existing(folder / "run")
    digest = run.record()["data"]["test_digest"]
    assert verify(digest).findings == ()
    assert openings(digest)[-1].result is not None
    columns = load_predictions(run.test_predictions).rows.columns
    return {name: np.asarray(column).tolist() for name, column in columns.items()}


def content_of(*names: str) -> Callable[[Path], Any]:
    """The outcome of a command that writes files."""
    return lambda folder: [(folder / name).read_bytes() for name in names]


def studied(folder: Path) -> Any:
    """The figures of a study, but for the clock."""
    text = (folder / "study" / "result.json").read_text("utf-8")
    return re.sub(r'"seconds": [\d.]+', "", text)


@dataclass(frozen=True)
class Case:
    """A command under test."""

    words: list[str]
    outcome: Callable[[Path], Any]
    before: tuple[list[str], ...] = ()
    """Commands that come before it, on a sound disk."""


CASES = {
    "train": Case(words("--out", "run"), run_outcome),
    "resume": Case(["resume", "run"], run_outcome, (words("--out", "run"),)),
    "evaluate": Case(["evaluate", "run", "--json", "e.json"], evaluated, (words("--out", "run"),)),
    "predict": Case(
        ["predict", "run", "{data}", "--out", "p"],
        lambda folder: (max(folder.glob("p*/predictions.json"))).read_bytes(),
        (words("--out", "run"),),
    ),
    "calibrate": Case(
        ["calibrate", "run", "--json", "c.json"],
        content_of("c.json", "run/calibration.json"),
        (words("--out", "run"),),
    ),
    "ledger": Case(
        ["ledger", "run", "--json", "l.json"],
        lambda folder: json.loads((folder / "l.json").read_text("utf-8"))["count"],
        (words("--out", "run"), ["evaluate", "run"]),
    ),
    "inspect": Case(["inspect", "{data}", "--out", "i"], content_of("i/inspection.json")),
    "compare": Case(
        ["compare", "run", "other", "--json", "c.json", "--out", "c"],
        content_of("c.json", "c/comparison.json", "c/comparison.html"),
        (words("--out", "run"), words("--out", "other", "--seed", "5")),
    ),
    "measure": Case(
        ["measure", "-p", "{lists}/p.csv", "-t", "{lists}/t.csv", "--json", "m", "--out", "m.html"],
        content_of("m", "m.html"),
    ),
    "cv": Case(words("--folds", "2", "--out", "study", command="cv", steps=2), studied),
    "search": Case(
        words("--trials", "2", "--space", "optimiser.lr=0.1..0.2", "--out", "study",
              command="search", steps=2),
        studied,
    ),
    "cache list": Case(["cache", "list"], lambda _: None, (words("--out", "run"),)),
    "graph": Case(["graph", "x*y", "x=1", "y=2", "--svg", "g.svg"], content_of("g.svg")),
}  # fmt: skip


def write_images(folder: Path) -> Path:
    """Two classes of small colour images with noise."""
    draw = np.random.default_rng(3)
    for kind in range(2):
        (folder / "ab"[kind]).mkdir(parents=True)
        for number in range(16):
            pixels = 90 + 70 * kind + draw.normal(0, 25, (12, 12, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / "ab"[kind] / f"{number:02d}.png")
    return folder


class Server:
    """The process in which commands run; see `fault_server.py`."""

    def __init__(self, library: Path, scratch: Path) -> None:
        self.work, self.base, self.data = scratch / "work", scratch / "base", scratch / "data"
        self.lists, self._scratch = scratch / "lists", scratch
        self.process = subprocess.Popen(
            [sys.executable, str(TESTS / "fault_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "LD_PRELOAD": str(library),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    def run(self, command: list[str], fault: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run a command in the work folder; `said` is what it wrote."""
        out, error = self._scratch / "stdout", self._scratch / "stderr"
        places = {
            "STRIATE_CACHE": str(self.work / "cache"),
            "STRIATE_HOME": str(self.work / "home"),
        }
        job = {
            "words": [word.format(data=self.data, lists=self.lists) for word in command],
            "folder": str(self.work),
            "below": str(self.work),
            "environment": places,
            "stdout": str(out),
            "stderr": str(error),
            "limit": 120,
            "fault": fault,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        done: dict[str, Any] = json.loads(self.process.stdout.readline())
        return {**done, "out": out.read_text("utf-8"), "said": error.read_text("utf-8")}

    def reset(self) -> None:
        """Make the work folder what it was before the command."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a compiler")
    scratch = tmp_path_factory.mktemp("faults").resolve()
    library = scratch / "inject.so"
    build = [*compiler.split(), "-x", "c", "-O1", "-shared", "-fPIC", str(TESTS / "inject.c")]
    subprocess.run([*build, "-o", str(library), "-ldl"], check=True)
    write_images(scratch / "data")
    (scratch / "lists").mkdir()
    rows = [f"{i},{0.2 + 0.6 * (i % 2)},{0.8 - 0.6 * (i % 2)}" for i in range(20)]
    (scratch / "lists" / "p.csv").write_text("\n".join(["id,a,b", *rows]))
    labels = [f"{i},{'ba'[(i // 3) % 2]}" for i in range(20)]
    (scratch / "lists" / "t.csv").write_text("\n".join(["id,label", *labels]))
    server = Server(library, scratch)
    yield server
    assert server.process.stdin is not None
    assert server.process.stdout is not None
    server.process.stdin.close()
    server.process.stdout.close()
    server.process.wait()


def points(calls: list[int], name: str) -> list[dict[str, int]]:
    """The faults to try: all of them, or a sample that each command draws of its own."""
    every = [
        {"kind": kind, "number": number, "error": error, "mode": mode}
        for kind in (WRITES, READS)
        for number, (error, mode) in itertools.product(range(1, calls[kind] + 1), WAYS[kind])
    ]
    number = len(every) if TRIED == "all" else min(int(TRIED), len(every))
    return random.Random(name).sample(every, number)


def typed(said: str) -> list[str] | None:
    """The command that a message tells to type; None where it names none."""
    if said.endswith("then repeat it with another folder after --out.\n"):
        return ["predict", "run", "{data}", "--out", "p2"]
    found = re.search(r"(?:repeat|continue with): striate (.*)\.\s*$", said)
    return None if found is None else shlex.split(found[1])


def check(server: Server, case: Case, fault: dict[str, Any], expected: Any) -> str:
    """Let a command fail, do what it says, and compare; how it ended comes back."""
    server.reset()
    done = server.run(case.words, fault)
    where = f"{fault} {done['first']}\n{done['out']}{done['said']}"
    assert done["code"] is not None, f"hung at {where}"
    assert "Traceback" not in done["said"], where
    again = case.words
    if done["code"] == -9:
        assert "moment" in fault or fault["mode"] in (KILL, TORN_KILL), where
        if (server.work / "run" / "run.json").is_file() and "train" in again:
            again = ["resume", "run"]
        if (server.work / "p" / "predictions.json").exists():  # whole, and never written over
            again = ["predict", "run", "{data}", "--out", "p2"]
        ended = "killed"
    elif done["code"] == 0:
        ended = "went on"
    else:
        assert done["code"] == 2, where
        assert re.fullmatch(r"Error .*\n", done["said"]), where
        again = typed(done["said"]) or []
        assert again, where
        ended = "refused"
    if ended != "went on":
        repeated = server.run(again)
        assert repeated["code"] == 0, f"{where}\nthen {repeated['out']}{repeated['said']}"
    assert case.outcome(server.work) == expected, where
    return ended


@pytest.mark.slow
@pytest.mark.timeout(0)  # as long as so many take
@pytest.mark.parametrize("name", CASES)
def test_faults(name: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    case, expected, whole = prepared(name, server, monkeypatch)
    survive(name, server, case, points(whole["calls"], name), expected)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", ["train", "cv", "search", "evaluate", "inspect", "predict"])
def test_killed_at_random_moments(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, expected, whole = prepared(name, server, monkeypatch)
    draw = random.Random(name)
    moments = [{"moment": draw.uniform(0.02, 1) * whole["seconds"]} for _ in range(KILLS)]
    survive(name, server, case, moments, expected)


def prepared(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[Case, Any, dict[str, Any]]:
    """A command, what it ends on when nothing disturbs it, and the reply of that run."""
    monkeypatch.setenv("STRIATE_HOME", str(server.work / "home"))
    case = CASES[name]
    shutil.rmtree(server.base, ignore_errors=True)
    shutil.rmtree(server.work, ignore_errors=True)
    server.work.mkdir()
    for command in case.before:
        assert server.run(command)["code"] == 0
    if name == "resume":  # as a kill after the first checkpoint leaves it
        run = server.work / "run"
        ended = [*run.glob("*.safetensors"), *run.glob("report.*"), run / "calibration.json"]
        for path in [*ended, max(run.glob("checkpoints/*"))]:
            path.unlink()
    shutil.copytree(server.work, server.base)
    whole = server.run(case.words)
    assert whole["code"] == 0, whole
    return case, case.outcome(server.work), whole


def survive(
    name: str, server: Server, case: Case, faults: list[dict[str, Any]], expected: Any
) -> None:
    """Try the faults one after the other; those that were not survived fail the test."""
    ends: Counter[str] = Counter()
    problems = []
    for fault in faults:
        try:
            ends[check(server, case, fault, expected)] += 1
        except AssertionError as problem:
            problems.append(str(problem))
    tried = ends.total() + len(problems)
    print(f"{name}: {tried} tried, survived {dict(ends)}", flush=True)
    assert not problems, f"{len(problems)} of {tried}:\n" + "\n".join(problems[:10])
