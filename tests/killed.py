"""Processes that are killed, and whether what was resumed ended on the same bits."""

import os
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

from striate.training.events import TIMING, read_events

STEPS = 40
SETTINGS = [
    "--steps", STEPS, "--network", "airbench",
    "--set", "network.widths=[8,8]", "--set", "training.checkpoints=40",
    "--set", "training.batch_size=16", "--set", "training.ema_half_life=0.2",
    "--set", "execution.threads=1",
]  # fmt: skip


def start(*words: object, places: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "STRIATE_CACHE": str(places / "cache"),
        "STRIATE_HOME": str(places / "home"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "striate", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def train(data: Path, run: Path, places: Path) -> subprocess.Popen[str]:
    return start("train", data, "--out", run, *SETTINGS, places=places)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, error = process.communicate(timeout=240)
    assert process.returncode == code, out + error
    return out + error


def outcome(run: Path) -> tuple[dict, list[dict], dict]:
    """Weights, events without the clock, and the newest checkpoint's tensors."""
    events = [
        {key: value for key, value in event.items() if key not in TIMING}
        for event in read_events(run / "events.jsonl")
    ]
    newest = max((run / "checkpoints").glob("step-*"))
    return load_file(run / "network.safetensors"), events, load_file(newest)


def assert_same(run: Path, reference: tuple[dict, list[dict], dict]) -> None:
    weights, events, checkpoint = outcome(run)
    for mine, theirs in ((weights, reference[0]), (checkpoint, reference[2])):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].equal(theirs[name]), name
    assert events == reference[1]
