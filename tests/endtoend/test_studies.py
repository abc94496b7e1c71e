"""Several seeds and cross-validation: ordinary runs, kept and resumed, the test split sealed."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from striate import load
from striate.api.crossvalidation import cross_validate
from striate.api.ledger import ledger
from striate.api.search import search
from striate.api.seeds import train_seeds
from striate.cli import app
from striate.data.seal import SealedSplit
from striate.errors import ConfigError, LeakError, RunError
from striate.evaluation import wilson
from striate.terminal import Reporter

QUICK = (
    "network.widths=[8,8]",
    "training.batch_size=16",
    "execution.threads=1",
    "execution.exact=true",
)


class KilledError(Exception):
    """Stands for the death of the process."""


class Dies(Reporter):
    """Dies in the second run, between two steps."""

    runs = 0

    def event(self, event):
        self.runs += event["event"] == "start"
        if self.runs == 2 and event["event"] == "validation":
            raise KilledError


class Hears(Reporter):
    """Keeps what it is told."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


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
    assert ledger(out).count == 2
    with pytest.raises(RunError, match=r"a folder of 2 runs; name one of them: .*seed-0"):
        load(out)
    with pytest.raises(RunError, match=r"another request \(steps\)"):
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


@pytest.mark.parametrize("kind", ["seeds", "cv"])
def test_a_study_of_images_that_changed_does_not_go_on(photographs, tmp_path, kind):
    """Its runs would have learned from, and be judged on, other images without a word."""
    out = tmp_path / "study"
    STUDIES[kind](photographs, out=out)
    shutil.rmtree(max(path.parent for path in out.glob("*/run.json")))
    added = photographs / "hill" / "more.png"
    shutil.copy(photographs / "posts" / "003.png", added)
    with pytest.raises(RunError, match=r"have changed since .*study/\S+ began"):
        STUDIES[kind](photographs, out=out)
    added.unlink()
    assert len(STUDIES[kind](photographs, out=out).runs) == 2


def test_folds_without_an_error_do_not_promise_that_there_is_none(photographs, tmp_path):
    found = cross_validate(photographs, folds=2, steps=40, assignments=QUICK, out=tmp_path / "cv")
    wrong = sum(run.validation.error.count for run in found.runs)
    images = wilson(wrong, found.n)
    assert found.error.low <= images.low
    assert found.error.high >= images.high
    assert found.error.value == pytest.approx(wrong / found.n, abs=0.01)


def _validated(run):
    from striate.evaluation import load_predictions

    return load_predictions(run.folder.predictions).names


@pytest.fixture
def leaking(photographs, tmp_path):
    """The photographs with a test split that has one of the training images."""
    folder = tmp_path / "leaking"
    for path in sorted(photographs.glob("*/*.png")):
        split = "test" if path.stem > "023" else "train"
        (folder / split / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / split / path.parent.name)
    shutil.copy(folder / "train/hill/003.png", folder / "test/hill/copy.png")
    return folder


STUDIES = {
    "seeds": lambda data, **how: train_seeds(data, 2, network="pixels-knn", **how),
    "cv": lambda data, **how: cross_validate(data, folds=2, network="pixels-knn", **how),
    "search": lambda data, **how: search(
        data, trials=2, steps=2, assignments=QUICK, space=("optimiser.lr=x0.5..x2",), **how
    ),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_a_leak_stops_a_study_before_it_begins(leaking, tmp_path, kind):
    out = tmp_path / "study"
    with pytest.raises(LeakError, match="1 of the 19 test images"):
        STUDIES[kind](leaking, out=out)
    assert not list(out.glob("[!.]*"))


@pytest.mark.parametrize("kind", ["seeds", "cv", pytest.param("search", marks=pytest.mark.slow)])
def test_what_was_done_about_leaks_stands_in_the_result(leaking, tmp_path, kind):
    out = tmp_path / "study"
    heard = Hears()
    found = STUDIES[kind](leaking, out=out, leaks="drop", reporter=heard)
    told = "1 of 19 test images have near-duplicates outside the test split; those 1 image(s) were"
    assert any(told in line for line in found.lines())
    assert sum(told in text for text in heard.said) == 1
    assert told in found.page.read_text()
    assert json.loads((out / "study.json").read_text())["asked"]["leaks"] == "drop"


@pytest.mark.parametrize("words", [["cv", "x"], ["search", "x"], ["train", "x"]])
def test_the_two_words_for_leaks_exclude_each_other(words):
    found = CliRunner().invoke(app, [*words, "--allow-leaks", "--drop-leaks"])
    assert found.exit_code == 2
    assert "exclude each other" in found.output
