"""Classical predictors go through the same door as networks: train, predict, evaluate, resume."""

import json

import numpy as np
import pytest

from striate import api
from striate.api.compare import compare_runs
from striate.errors import ConfigError, RunError


@pytest.fixture
def run(photographs, tmp_path):
    return api.train(photographs, network="pixels-knn", out=tmp_path / "run")


def test_a_run_has_all_that_a_run_has(run, photographs, tmp_path):
    assert run.is_finished
    assert run.validation.n > 0
    page = (run.path / "neighbours.html").read_text("utf-8")
    assert page.count("<tr>") == run.validation.n
    assert "stripes" in page
    report = json.loads((run.path / "report.json").read_text("utf-8"))
    assert report["network"]["name"] == "pixels-knn"
    assert report["run"]["choices"][-1]["value"].startswith("pixels, k = ")
    answers = run.predict(photographs / "posts")
    assert np.mean([answer.label == "posts" for answer in answers]) > 0.6
    found = api.evaluate(run)
    assert found.opening == 1
    other = api.train(photographs, network="hog-svm", out=tmp_path / "other")
    api.evaluate(other)
    assert compare_runs([run.path, other.path]) is not None


def test_what_was_killed_is_finished_with_the_same_arrays(run):
    weights = run.folder.weights.read_bytes()
    run.folder.weights.unlink()
    with pytest.raises(RunError, match="training has not ended"):
        api.load(run.path).predict(np.zeros((12, 12, 3), np.uint8))
    again = api.resume(run.path)
    assert again.is_finished
    assert run.folder.weights.read_bytes() == weights


def test_what_only_networks_have_is_refused_in_one_message(photographs, tmp_path):
    with pytest.raises(ConfigError) as error:
        api.train(
            photographs,
            network="hog-svm",
            epochs=3,
            out=tmp_path / "run",
            assignments=("optimiser.lr=1", "network.cells=4"),
        )
    assert "leave out training.epochs" in str(error.value)
    assert "leave out optimiser" in str(error.value)
    assert "Did you mean 'cell'" in str(error.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="no published weights"):
        api.train(photographs, network="hog-svm", pretrained="resnet18")


def test_a_run_without_a_network_says_so(run):
    with pytest.raises(RunError, match="has no network: it is pixels-knn"):
        _ = run.network


def test_a_set_that_leaks_is_refused_as_for_networks(photographs, tmp_path, monkeypatch):
    def refuse(*_):
        raise ConfigError("copies across the splits")

    monkeypatch.setattr("striate.api.frame.refuse_leaks", refuse)
    with pytest.raises(ConfigError, match="copies across"):
        api.train(photographs, network="pixels-knn", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
