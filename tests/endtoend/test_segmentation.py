"""Images with masks, from a folder to masks in files and a report, and to the same bits."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from killed import finish, start

PALETTE = (0, 0, 0, 250, 10, 20, 30, 40, 240)
SMALL = ["--set", "network.width=4", "--set", "network.depth=1", "--set", "execution.threads=1"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Circles and squares on noise; masks with a palette in a folder below that of the images."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "shapes"
    rows, columns = np.mgrid[:24, :32]
    for number in range(30):
        image = draw.integers(0, 256, (24, 32, 3)).astype(np.uint8)
        mask = np.zeros((24, 32), np.uint8)
        for kind, colour in ((1, (220, 30, 30)), (2, (30, 30, 220))):
            row, column, side = draw.integers(5, 19), draw.integers(5, 27), draw.integers(3, 6)
            away = abs(rows - row), abs(columns - column)
            inside = (
                away[0] ** 2 + away[1] ** 2 <= side**2 if kind == 1 else np.maximum(*away) <= side
            )
            image[inside], mask[inside] = colour, kind
        place = f"film{number % 3}"
        for name, pixels in (("images", image), ("masks", mask)):
            (folder / name / place).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(pixels)
            if name == "masks":
                picture.putpalette(PALETTE)
            picture.save(folder / name / place / f"{number:02}.png")
    (folder / "classes.txt").write_text("ground\ncircle\nsquare\n")
    return folder


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from striate import api

    places = tmp_path_factory.mktemp("runs")
    path = places / "run"
    wide = ("network.width=8", "network.depth=2", "data.leaks=allow", "data.groups=**/GROUP/*")
    with pytest.MonkeyPatch.context() as own:
        own.setenv("STRIATE_CACHE", str(places / "cache"))
        own.setenv("STRIATE_HOME", str(places / "home"))
        api.train(shapes, out=path, steps=150, assignments=wide)
    return path


def test_it_learns_and_is_measured(run: Path) -> None:
    from striate import api

    record = json.loads((run / "run.json").read_text())
    assert record["config"]["task"] == {"name": "segmentation", "scale": 1.0}
    assert record["facts"]["void"] == 255
    assert sum(record["facts"]["loss"]["class_counts"]) == 768 * record["data"]["counts"]["train"]
    evaluation = api.evaluate(run)
    figures = evaluation.metrics.to_json()["metrics"]
    assert figures["mean IoU"]["value"] > 0.7
    report = json.loads((run / "report.json").read_text())
    assert [row["class"] for row in report["classes"]] == ["ground", "circle", "square"]
    assert report["classes"][1]["iou"] == pytest.approx(figures["IoU circle"]["value"])
    assert "Best, median and worst" in (run / "report.html").read_text()


def test_masks_are_written_as_they_came_and_can_be_trained_on(
    run: Path, shapes: Path, tmp_path: Path
) -> None:
    from striate import api
    from striate.errors import ConfigError

    images = tmp_path / "again" / "images"
    images.mkdir(parents=True)
    wide = np.asarray(Image.open(shapes / "images" / "film0" / "00.png")).repeat(3, axis=1)
    Image.fromarray(wide).save(images / "wide.png")
    for name in ("film0/00", "film1/01"):
        (images / name).parent.mkdir()
        Image.open(shapes / "images" / f"{name}.png").save(images / f"{name}.bmp")
    (images / "broken.png").write_bytes(b"no picture")
    found = api.load(run).predict(images, out=tmp_path / "again", overlays=True)
    stored = json.loads((tmp_path / "again" / "predictions.json").read_text())["predictions"]
    assert [p["name"] for p in stored] == [p.name for p in found]
    assert stored[0]["problem"]
    for prediction in found[1:]:
        place = Path(prediction.name).relative_to(images).with_suffix(".png")
        with Image.open(tmp_path / "again" / "masks" / place) as mask:
            assert mask.mode == "P"
            assert tuple(mask.getpalette()[:9]) == PALETTE
            assert np.array_equal(np.asarray(mask), prediction.mask)
        with Image.open(tmp_path / "again" / "overlays" / place) as overlay:
            assert overlay.size == mask.size
    assert (found[-1].values["height"], found[-1].values["width"]) == (24, 96)
    assert sum(found[-1].values["areas"].values()) == 24 * 96
    truth = np.asarray(Image.open(shapes / "masks" / "film0" / "00.png"))
    assert (found[1].mask == truth).mean() > 0.9
    with pytest.raises(ConfigError, match=r"predictions\.json exists already"):
        api.load(run).predict(images, out=tmp_path / "again")
    (images / "broken.png").unlink()
    (images / "film1" / "01.png").write_bytes((images / "film1" / "01.bmp").read_bytes())
    with pytest.raises(ConfigError, match="film1/01 but for their ending"):
        api.load(run).predict(images, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_it_cannot_do_is_said(run: Path) -> None:
    from striate import api
    from striate.api.calibration import calibrate
    from striate.errors import ConfigError, DataError, RunError
    from striate.evaluation.classification.prediction_file import read_table

    with pytest.raises(DataError, match="is a folder; accepted: a CSV"):
        read_table(run)
    with pytest.raises(RunError, match="no calibration to fit"):
        calibrate(run)
    with pytest.raises(RunError, match="no confidence to abstain by"):
        api.load(run).predict(np.zeros((24, 32, 3), np.uint8), abstain=0.1)
    with pytest.raises(ConfigError, match="give --out FOLDER"):
        api.load(run).predict(np.zeros((24, 32, 3), np.uint8), overlays=True)


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_on_the_same_bits(
    shapes: Path, tmp_path: Path
) -> None:
    def train(name: str) -> subprocess.Popen[str]:
        length = ["--steps", 20, "--set", "training.checkpoints=20", "--allow-leaks"]
        words = ["train", shapes, "--out", tmp_path / name / "run", *length, *SMALL]
        return start(*words, places=tmp_path / name)

    began = time.monotonic()
    finish(train("whole"))
    duration = time.monotonic() - began
    draw = random.Random(10)
    for name in map(str, range(10)):
        process = train(name)
        time.sleep(draw.uniform(0.3, 1) * duration)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        folder = tmp_path / name / "run"
        goes_on = (folder / "run.json").exists()
        finish(start("resume", folder, places=tmp_path / name) if goes_on else train(name))
        for file in ("network.safetensors", "validation.safetensors"):
            mine, theirs = (load_file(run / file) for run in (folder, tmp_path / "whole" / "run"))
            assert mine.keys() == theirs.keys()
            assert all(mine[key].equal(theirs[key]) for key in mine)
