"""A search: ordinary runs judged on validation, killed and gone on with, shared by processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from striate import load
from striate.api.search import search
from striate.data.seal import SealedSplit
from striate.errors import ConfigError, DivergenceError, RunError
from striate.terminal import Reporter

QUICK = ("execution.threads=1", "execution.exact=true", "data.input_size=8")
SPACE = ("optimiser.lr=x0.3..x3", "training.batch_size=8,16", "network.widths=[8,8],[16]")


class KilledError(Exception):
    """Stands for the death of the process."""


class Dies(Reporter):
    """Dies in the third trial, between two steps."""

    runs = 0

    def event(self, event):
        self.runs += event["event"] == "start"
        if self.runs == 3 and event["event"] == "validation":
            raise KilledError


def find(photographs, out, **how):
    return search(
        photographs,
        out=out,
        **{"trials": 3, "steps": 6, "assignments": QUICK, "space": SPACE, **how},
    )


def facts(found):
    """What two searches of one seed share."""
    told = found.to_json()
    for trial in told["trials"]:
        trial.pop("seconds")
    return told


@pytest.mark.slow
def test_a_killed_search_ends_as_if_it_had_not_been_and_the_winner_is_an_ordinary_run(
    photographs, tmp_path, monkeypatch
):
    whole = find(photographs, tmp_path / "whole")
    out = tmp_path / "killed"
    with pytest.raises(KilledError):
        find(photographs, out, reporter=Dies())
    assert json.loads((out / "result.json").read_text())["counts"]["whole"] == 2
    with monkeypatch.context() as sealed:
        sealed.setattr(SealedSplit, "read", None)
        found = find(photographs, out)
    assert facts(found) == facts(whole)
    assert found.num_finished == 3
    assert '"resumed"' in (out / "trial-002" / "events.jsonl").read_text()
    assert not list(out.glob("trial-*/checkpoints"))

    run = load(found.best)
    told = json.loads((out / "result.json").read_text())["best"]
    assert told["error"] == run.validation.error.value
    # Bonferroni: wider than the run's own interval on both sides, unless at an end.
    assert told["low"] <= run.validation.error.low
    assert told["high"] > run.validation.error.high
    assert run.test_openings == 0
    assert run.evaluate().opening == 1
    assert len(run.predict(photographs / "hill" / "000.png")) == 1

    more = find(photographs, out, trials=4)
    assert more.num_finished == 4
    assert facts(more)["trials"][:3] == facts(whole)["trials"]
    with pytest.raises(RunError, match=r"another request \(steps\)"):
        find(photographs, out, steps=9)

    page = whole.page.read_text()
    assert not re.search(r"(src|href)=[\"']?(http|//)", page)
    assert page.count("<svg") == 1 + len(SPACE)
    assert "too good by chance" in page
    assert "Bonferroni" in page
    assert any("95 % interval" in line for line in whole.lines())


def test_trials_that_diverge_or_do_not_fit_end_and_the_search_goes_on(
    photographs, tmp_path, monkeypatch
):
    from striate.api import search as module

    real, ends = module.train_run, iter([DivergenceError("to infinity"), MemoryError("no room")])

    def train_run(study, name, *rest):
        run = real(study, name, *rest)
        for error in ends:
            raise error
        return run

    monkeypatch.setattr(module, "train_run", train_run)
    found = find(photographs, tmp_path / "study", trials=2, steps=2)
    assert [r.state for r in found.records] == ["pruned", "failed", "whole"]
    assert found.records[0].notes["ended"] == "to infinity"
    assert "1 could not be trained" in " ".join(found.sentences)
    monkeypatch.setattr(module, "train_run", lambda *words: real(None))
    with pytest.raises(TypeError):
        find(photographs, tmp_path / "other")  # a fault of the program is not hidden


def test_a_space_in_which_nothing_can_be_trained_ends(photographs, tmp_path, monkeypatch):
    def none(*words):
        raise MemoryError("no room")

    monkeypatch.setattr("striate.api.search.train_run", none)
    with pytest.raises(RunError, match="3 trials in a row could not be trained: no room"):
        find(photographs, tmp_path / "study")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"trials": 1}, "needs 2 trials or more"),
        ({"minutes": 0.1, "trials": 40}, "2 trials at most"),
        ({"minutes": -1}, "must be above zero"),
        ({"network": "hog-svm"}, "nothing to search"),
        ({"space": ("network=restnet,vgg",)}, "'restnet' is no network"),
        ({"space": ("network=vgg,resnet",), "network": "vgg"}, "leave out one of the two"),
        (
            {"space": ("optimiser.lr=x1..x2",), "assignments": (*QUICK, "optimiser.lr=1")},
            "leave out one",
        ),
        ({"space": ("optimiser.lr=-1..1",)}, "lr"),
    ],
)
def test_what_cannot_become_a_search_is_told_before_anything_is_trained(
    photographs, tmp_path, how, told
):
    with pytest.raises(ConfigError, match=told):
        find(photographs, tmp_path / "study", **how)
    assert not list(tmp_path.glob("study/trial*"))


def start(*words, out):
    return subprocess.Popen(
        [sys.executable, "-m", "striate", "search", *map(str, words), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def command(photographs, trials):
    words = [photographs, "--trials", trials, "--steps", 40]
    for assignment in QUICK:
        words += ["--set", assignment]
    for word in SPACE:
        words += ["--space", word]
    return words


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_two_processes_share_a_search_and_one_takes_over_from_the_other_when_it_is_killed(
    photographs, tmp_path
):
    out = tmp_path / "study"
    words = command(photographs, 8)
    first, second = start(*words, out=out), start(*words, out=out)
    wait_for(lambda: len(list(out.glob("trial-*/events.jsonl"))) >= 3)
    first.kill()
    first.communicate()
    said, _ = second.communicate(timeout=240)
    assert second.returncode == 0, said
    told = json.loads((out / "result.json").read_text())
    assert told["counts"]["running"] == 0
    assert told["counts"]["whole"] + told["counts"]["pruned"] == 8
    assert len({trial["run"] for trial in told["trials"]}) == len(told["trials"])


@pytest.mark.slow
def test_two_processes_divide_the_trials(photographs, tmp_path):
    out = tmp_path / "study"
    words = command(photographs, 6)
    both = [start(*words, out=out), start(*words, out=out)]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    trials = [re.findall(r"^Trial (\d+) \(", text, re.MULTILINE) for text in said]
    assert sorted(map(int, trials[0] + trials[1])) == list(range(6))
    assert trials[0]
    assert trials[1]
    assert json.loads((out / "result.json").read_text())["counts"]["running"] == 0


@pytest.mark.slow
def test_killed_and_interrupted_the_same_command_ends_it(photographs, tmp_path):
    out, whole = tmp_path / "study", tmp_path / "whole"
    words = command(photographs, 5)
    process = start(*words, out=out)
    wait_for(lambda: (out / "trial-001" / "events.jsonl").exists())
    process.kill()
    process.communicate()
    process = start(*words, out=out)
    wait_for(lambda: (out / "trial-002" / "events.jsonl").exists())
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Stopped by SIGINT. Kept in" in said
    assert "Continue with the same command: striate search" in said
    assert "striate resume" not in said
    for folder in (out, whole):
        process = start(*words, out=folder)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said

    def trials(folder):
        told = json.loads((folder / "result.json").read_text())["trials"]
        return [{k: v for k, v in trial.items() if k != "seconds"} for trial in told]

    assert trials(out) == trials(whole)
