"""Predictions as files: a list for every task, pictures where a task draws, nothing replaced."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.api.images import named_images, relative_paths
from striate.api.prediction_files import PredictionFiles
from striate.errors import ConfigError
from striate.tasks import Classification, DataShape, Prediction
from striate.tasks.classification import ClassPrediction

SHAPE = DataShape({}, 1, (4, 4))
GREY = np.full((4, 4, 1), 9, np.uint8)


class Draws(Classification):
    """A task that draws its predictions."""

    def draw(self, image: np.ndarray, prediction: Prediction, data: DataShape) -> np.ndarray:
        return image.repeat(3, axis=2)


def test_every_task_has_a_list(tmp_path: Path) -> None:
    places = [Path("a.png"), Path("a.jpg")]
    files = PredictionFiles(tmp_path, Classification(), SHAPE, places, overlays=False)
    predictions: list[Prediction] = [
        ClassPrediction("x/a.png", {"cat": 1.0}),
        ClassPrediction("x/a.jpg", None, "it is empty"),
    ]
    files.write(0, predictions[0], GREY)
    path = files.finish(predictions, run="r")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    found = json.loads(path.read_text())
    assert found["run"] == "r"
    assert found["predictions"][0]["label"] == "cat"
    assert found["predictions"][1] == {"name": "x/a.jpg", "problem": "it is empty"}
    with pytest.raises(ConfigError, match="exists already"):
        PredictionFiles(tmp_path, Classification(), SHAPE, places, overlays=False)


def test_pictures_keep_the_folders_and_are_not_shared(tmp_path: Path) -> None:
    files = PredictionFiles(tmp_path, Draws(), SHAPE, [Path("b/a.png")], overlays=True)
    files.write(0, ClassPrediction("b/a.png", {"cat": 1.0}), GREY)
    with Image.open(tmp_path / "overlays" / "b" / "a.png") as image:
        assert np.asarray(image).tolist() == GREY.repeat(3, axis=2).tolist()
    with pytest.raises(ConfigError, match=r"overlays.b.a\.png exists already"):
        PredictionFiles(tmp_path, Draws(), SHAPE, [Path("b/a.jpg")], overlays=True)
    with pytest.raises(ConfigError, match="2 of the images are called a but for their ending"):
        PredictionFiles(tmp_path / "c", Draws(), SHAPE, [Path("a.x"), Path("a.y")], overlays=True)


def test_places_are_below_the_folder_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "one" / "deep").mkdir(parents=True)
    for name in ("one/a.png", "one/deep/b.png", "c.png"):
        Image.fromarray(GREY[..., 0]).save(tmp_path / name)
    given = [str(tmp_path / "one"), tmp_path / "c.png", GREY]
    places = relative_paths(given, named_images(given))
    assert places == [Path("a.png"), Path("deep/b.png"), Path("c.png"), Path("image 2")]
