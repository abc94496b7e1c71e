"""Run folders that commit 417ab7b wrote are read, with the figures that it gave.

tests/fixtures/run_417ab7b holds a LeNet-5 and a linear classifier that were trained on digits, a
linear classifier that was stopped after half of its 60 steps, and figures.json: what that commit
said of them. Weights are the same, so figures may differ by the rounding of another processor
only; the ends of intervals are not pinned here, but in the tests of the intervals.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_417ab7b"
FIGURES = json.loads((FIXTURE / "figures.json").read_text("utf-8"))
CLOSE = {"rel": 1e-4, "abs": 1e-6}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy of the runs that may be written to."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "runs"))


def digits(folder: Path) -> list[Path]:
    """The first three digits as files."""
    paths = [folder / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, load_digits().images[:3], strict=True):
        Image.fromarray((image * 15.9375).astype(np.uint8)).save(path)
    return paths


def succeed(done: Any) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def assert_figures(measures: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    flat = {name: measures[name] for name in ("n", "confusion")}
    values = {n: v["value"] for n, v in measures.items() if isinstance(v, dict) and "value" in v}
    flat |= values | {"top_2_error": measures["top_k_error"]["2"]["value"]}
    assert flat["n"] == expected["n"]
    assert flat["confusion"] == expected["confusion"]
    for name in set(expected) - {"n", "confusion"}:
        assert flat[name] == pytest.approx(expected[name], **CLOSE), name


@pytest.mark.parametrize("name", ["lenet5", "linear"])
def test_evaluate_and_report(striate: Any, runs: Path, name: str) -> None:
    succeed(striate("evaluate", runs / name, "--json", runs / "test.json"))
    measures = json.loads((runs / "test.json").read_text("utf-8"))["measures"]
    assert_figures(measures, FIGURES[name]["test"])
    report = json.loads((runs / name / "report.json").read_text("utf-8"))
    assert_figures(report["validation"], FIGURES[name]["validation"])
    assert_figures(report["test"]["measures"], FIGURES[name]["test"])
    assert len(report["curves"]["validation"]) == 3
    assert (runs / name / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["lenet5", "linear"])
def test_predict(striate: Any, runs: Path, name: str) -> None:
    out = succeed(striate("predict", runs / name, *digits(runs), "--json"))
    rows = [json.loads(line)["probabilities"] for line in out.splitlines()]
    assert len(rows) == 3
    for row, expected in zip(rows, FIGURES[name]["predictions"], strict=True):
        assert row == pytest.approx(expected, **CLOSE)
        assert next(iter(row)) == next(iter(expected))


def test_compare(striate: Any, runs: Path) -> None:
    """One run's test predictions were stored then, the other's are stored now."""
    succeed(striate("evaluate", runs / "lenet5"))
    out = runs / "pair.json"
    words = ("compare", runs / "lenet5", runs / "linear", "--json", out, "--out", runs / "pair")
    succeed(striate(*words))
    pair = json.loads(out.read_text("utf-8"))["pairs"][0]
    found = {name: pair[name] for name in FIGURES["compare"]}
    found["difference"] = found["difference"]["value"]
    assert found == pytest.approx(FIGURES["compare"], **CLOSE)


def test_resume_of_a_finished_run_says_so(striate: Any, runs: Path) -> None:
    succeed(striate("evaluate", runs / "lenet5"))  # writes the page, which the fixture lacks
    before = (runs / "lenet5" / "network.safetensors").read_bytes()
    assert "finished already" in succeed(striate("resume", runs / "lenet5"))
    assert (runs / "lenet5" / "network.safetensors").read_bytes() == before


def test_resume_of_a_stopped_run_ends_where_that_commit_ended(striate: Any, runs: Path) -> None:
    """The same configuration trained in one go by that commit is the run `linear`."""
    succeed(striate("resume", runs / "stopped"))
    found = load_file(runs / "stopped" / "network.safetensors")
    expected = load_file(runs / "linear" / "network.safetensors")
    assert set(found) == set(expected)
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, rtol=1e-4, atol=1e-6)
