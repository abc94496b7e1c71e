"""Several seeds and cross-validation: ordinary runs, kept and resumed, the test split sealed."""

import json

import pytest

from striate.api.crossvalidation import cross_validate
from striate.api.seeds import train_seeds
from striate.data.seal import SealedSplit
from striate.errors import ConfigError, RunError
from striate.terminal import Reporter

QUICK = ("network.widths=[8,8]", "training.batch_size=16", "execution.threads=1")


class KilledError(Exception):
    """Stands for the death of the process."""


class Dies(Reporter):
    """Dies in the second run, between two steps."""

    runs = 0

    def event(self, event):
        self.runs += event["event"] == "start"
        if self.runs == 2 and event["event"] == "validation":
            raise KilledError


def test_seeds_go_on_after_a_kill_and_tell_their_spread(photographs, tmp_path):
    out = tmp_path / "study"
    how = {"steps": 12, "assignments": QUICK, "out": out}
    with pytest.raises(KilledError):
        train_seeds(photographs, 2, reporter=Dies(), **how)
    first = (out / "seed-0" / "events.jsonl").read_bytes()
    found = train_seeds(photographs, 2, **how)
    assert (out / "seed-0" / "events.jsonl").read_bytes() == first
    events = (out / "seed-1" / "events.jsonl").read_text()
    assert '"resumed"' in events
    errors = [run.validation.error.value for run in found.runs]
    assert found.spreads["validation"].errors == pytest.approx(tuple(errors))
    told = json.loads((out / "result.json").read_text())
    assert told["splits"]["validation"]["n"] == found.runs[0].validation.n
    assert "over seeds" in found.page.read_text()
    assert any("standard deviation between seeds" in line for line in found.lines())
    for run in found.runs:
        run.evaluate()
    assert set(train_seeds(photographs, 2, **how).spreads) == {"validation", "test"}
    with pytest.raises(RunError, match=r"asked otherwise \(steps\)"):
        train_seeds(photographs, 2, **{**how, "steps": 9})
    with pytest.raises(ConfigError, match="2 seeds or more"):
        train_seeds(photographs, 1, **how)


def test_cross_validation_answers_each_image_once_and_opens_nothing(
    photographs, tmp_path, monkeypatch
):
    monkeypatch.setattr(SealedSplit, "read", None)
    out = tmp_path / "study"
    found = cross_validate(photographs, folds=2, steps=3, assignments=QUICK, out=out)
    names = [name for run in found.runs for name in _validated(run)]
    assert len(names) == len(set(names)) == found.n
    assert len({run.record["data"]["test_digest"] for run in found.runs}) == 1
    assert found.n == sum(
        found.runs[0].record["data"]["counts"][s] for s in ("train", "validation")
    )
    assert found.error is not None
    assert found.error.low <= found.error.value <= found.error.high
    assert "corrected 95 % interval" in found.page.read_text()
    words = (*QUICK, "data.folds=3")
    with pytest.raises(ConfigError, match="chosen by --folds"):
        cross_validate(photographs, folds=2, steps=3, assignments=words, out=tmp_path / "third")
    with pytest.raises(ConfigError, match="2 folds or more"):
        cross_validate(photographs, folds=1, out=tmp_path / "other")


def _validated(run):
    from striate.evaluation import load_answers

    return load_answers(run.folder.answers).names
