"""Several labels from a list to the report; killed and resumed."""

import csv
import json
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

import striate
from killed import assert_same, finish, outcome, start
from striate.api.compare import compare_runs
from striate.evaluation import load_predictions

NAMES = ("bottom", "middle", "top")
SETTINGS = {
    "network": {"name": "mlp", "hidden": [24]},
    "loss": {"positive_weights": "balanced"},
    "optimiser": {"name": "adamw", "lr": 0.01},
    "augmentation": [],
    "training": {"batch_size": 16, "checkpoints": 5, "validations": 1},
    "execution": {"threads": 1},
    "data": {"leaks": "allow"},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with up to three bright bars, and the list of their labels."""
    folder = tmp_path_factory.mktemp("bars")
    draw = np.random.default_rng(1)
    rows = []
    for number in range(160):
        present = draw.random(3) < [0.2, 0.4, 0.6]
        image = draw.integers(0, 120, (12, 12), np.uint8)
        for k in np.flatnonzero(present):
            image[8 - 4 * k : 12 - 4 * k] += 90
        Image.fromarray(image).save(folder / f"{number:03d}.png")
        names = [name for name, there in zip(NAMES, present, strict=True) if there]
        rows.append((f"{number:03d}.png", ";".join(names)))
    with open(folder / "bars.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "labels"), *rows])
    return folder


def test_from_a_list_to_predictions(photographs: Path, tmp_path: Path) -> None:
    runs = [
        striate.train(
            photographs / "bars.csv", steps=60, seed=s, settings=SETTINGS, out=tmp_path / f"{s}"
        )
        for s in (0, 1)
    ]
    run = runs[0]
    assert run.record["choices"][0]["what"] == "task"
    weights = run.record["facts"]["loss"]["positive_weights"]
    assert weights[0] > weights[1] > weights[2]
    evaluations = striate.evaluate_runs(runs)
    figures = evaluations[0].metrics
    assert list(figures.estimates) == [
        "macro average precision",
        "macro AUC",
        "macro F1",
        "loss",
    ]
    stored = load_predictions(run.folder.test_predictions).rows
    expected = average_precision_score(stored["labels"], stored["probabilities"])
    assert figures.estimates["macro average precision"].value == pytest.approx(expected)
    assert expected > 0.9
    report = json.loads((run.path / "report.json").read_text())
    assert set(report["test"]["measures"]["labels"]) == set(NAMES)
    assert "Labels on the test split" in (run.path / "report.html").read_text()
    assert compare_runs(runs).to_json()["metric"] == "macro average precision"
    # A stored threshold decides, and what is said of an image can be trained on again.
    (prediction,) = run.predict(photographs / "000.png")
    kept = json.loads(run.folder.calibration.read_text())
    said = [prediction.values["probabilities"][name] for name in NAMES]
    assert prediction.values["labels"] == [
        n for n, p, t in zip(NAMES, said, kept["thresholds"], strict=True) if p >= t
    ]
    assert prediction.cells()["labels"] == ";".join(prediction.values["labels"])


def test_arrays_from_python_are_trained_on_and_evaluated(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    y = draw.integers(0, 2, (120, 2))
    x = draw.integers(0, 100, (120, 8, 8), np.uint8)
    for k in range(2):
        x[:, 4 * k : 4 * k + 4] += (100 * y[:, k])[:, None, None].astype(np.uint8)
    run = striate.train((x, y), steps=60, settings=SETTINGS, out=tmp_path / "run")
    assert len(list(tmp_path.glob("arrays-*.npz"))) == 1
    assert run.evaluate().metrics.estimates["macro AUC"].value > 0.9


@pytest.mark.slow
def test_killed_and_resumed_bit_for_bit(photographs: Path, tmp_path: Path) -> None:
    words = ["--steps", 60, "--network", "airbench", "--allow-leaks"]
    for setting in (
        "network.widths=[8,8]",
        "loss.positive_weights=balanced",
        "training.checkpoints=30",
        "training.ema_half_life=0.2",
        "execution.threads=1",
    ):
        words += ["--set", setting]

    def train(name: str):
        run, data = tmp_path / name, photographs / "bars.csv"
        return run, start("train", data, "--out", run, *words, places=tmp_path / f"{name}-places")

    whole, process = train("whole")
    finish(process)
    killed, process = train("killed")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        saved = [path.name for path in (killed / "checkpoints").glob("step-*")]
        if any(int(re.findall(r"\d+", name)[0]) >= 4 for name in saved):
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "network.safetensors").exists()
    finish(start("resume", killed, places=tmp_path / "killed-places"))
    assert_same(killed, outcome(whole))
    thresholds = [json.loads((run / "calibration.json").read_text()) for run in (whole, killed)]
    assert thresholds[0] == thresholds[1]
