"""Commands at once on one cache, ledger and run, and signals at random moments.

A run of the tests tries each twice; `STRIATE_ROUNDS=20 make slow` as often as that.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from killed import assert_same, finish, outcome, start, train
from striate.locks import is_locked

ROUNDS = range(int(os.environ.get("STRIATE_ROUNDS", "2")))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="these signals are not known there"),
]


@pytest.fixture(scope="module")
def reference(shared_photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an undisturbed run ends with, and the seconds it takes with an empty cache."""
    folder = tmp_path_factory.mktemp("reference")
    began = time.monotonic()
    finish(train(shared_photographs, folder / "run", folder / "places"))
    return outcome(folder / "run"), time.monotonic() - began, folder


@pytest.mark.parametrize("number", ROUNDS)
def test_two_trainings_fill_one_cache(tmp_path, shared_photographs, reference, number):
    processes = [train(shared_photographs, tmp_path / name, tmp_path / "p") for name in "ab"]
    for name, process in zip("ab", processes, strict=True):
        finish(process)
        assert_same(tmp_path / name, reference[0])


@pytest.mark.parametrize("number", ROUNDS)
def test_openings_at_once_are_numbered(tmp_path, shared_photographs, number):
    finish(train(shared_photographs, tmp_path / "run", tmp_path / "p"))
    processes = [start("evaluate", tmp_path / "run", places=tmp_path / "p") for _ in range(4)]
    said = [finish(process) for process in processes]
    for opening in range(1, 5):
        assert sum(f"This was opening {opening} of" in text for text in said) == 1
    ledger = finish(start("ledger", tmp_path / "run", places=tmp_path / "p"))
    assert "opened 4 times" in ledger
    assert ledger.count("error ") >= 4
    assert "altered" not in ledger


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT", "SIGKILL", "SIGSTOP"])
@pytest.mark.parametrize("number", ROUNDS)
def test_a_signal_at_a_random_moment(tmp_path, shared_photographs, reference, name, number):
    """What was stopped is resumed, what was suspended goes on: both to the same bits."""
    whole, seconds, _ = reference
    run, places = tmp_path / "run", tmp_path / "p"
    process = train(shared_photographs, run, places)
    time.sleep(random.uniform(0.3, 1.0) * seconds)
    process.send_signal(signal.Signals[name])
    if name == "SIGSTOP":
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
    _, error = process.communicate(timeout=240)
    assert "Traceback" not in error
    if (run / "run.json").exists():
        finish(start("resume", run, places=places))
    else:
        finish(train(shared_photographs, run, places))
    assert_same(run, whole)


@pytest.mark.parametrize("number", ROUNDS)
def test_a_run_in_training_is_not_disturbed(tmp_path, shared_photographs, reference, number):
    run, places, folder = tmp_path / "run", tmp_path / "p", reference[2]
    process = train(shared_photographs, run, places)
    deadline = time.monotonic() + 60
    while not list((run / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)  # so that it has not ended before the others began
    assert is_locked(run / ".lock")
    image = next(shared_photographs.rglob("*.png"))
    for words in (("evaluate", run), ("predict", run, image), ("calibrate", run)):
        said = finish(start(*words, places=folder / "places"), code=2)
        assert "another process is training it" in said
    for words in (("resume", run), ("train", shared_photographs, "--out", run)):
        said = finish(start(*words, places=folder / "places"), code=2)
        assert "Traceback" not in said
    process.send_signal(signal.SIGCONT)
    finish(process)
    assert_same(run, reference[0])
