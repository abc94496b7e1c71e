"""Published weights are chosen where they promise more, and only where that was left open."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.api import start
from striate.api.request import Request
from striate.api.resolve import Resolved, resolve
from striate.config import RunConfig
from striate.data import Dataset
from striate.evaluation import Columns, Metric, Scores
from striate.networks.weight import PRETRAINED
from striate.networks.weight_file import find_weights
from striate.training.trial import Trial

with_weights = pytest.mark.skipif(
    find_weights(PRETRAINED["efficientnet"]) is None, reason="the extra 'weights' is not installed"
)


@pytest.fixture
def images(tmp_path: Path) -> str:
    """60 pictures of 40 × 50 pixels in two classes."""
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 256, (60, 40, 50, 3), dtype=np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, images=pictures, labels=np.arange(60) % 2)
    return str(path)


def speed(*_: Any) -> float:
    return 200.0


def promising(expected: float) -> Trial:
    metric = Metric.mean("error", True, lambda rows: rows["wrong"])
    scores = Scores((metric,), Columns({"wrong": np.arange(20) < 5}))
    return Trial(scores, "on twenty images", expected, 0.1, 100.0, (128, 128))


def planned(
    monkeypatch: pytest.MonkeyPatch, images: str, weights: float, nothing: float, **more: Any
) -> Resolved:
    monkeypatch.setattr(start, "try_weights", lambda *_: promising(weights))
    monkeypatch.setattr(start, "try_training", lambda *_: promising(nothing))
    return resolve(Request(images, **more), speed=speed)


@with_weights
def test_what_promises_more_is_chosen(images: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, choices, _ = planned(monkeypatch, images, 0.1, 0.2, minutes=1)
    assert config.pretrained is not None
    assert config.pretrained.name == "efficientnet"
    assert config.network.name == "efficientnet"
    assert choices[0].what == "start"
    assert choices[0].value == "from published weights"
    assert "error 25.0 % [" in choices[0].why
    assert "10.0 % expected at the end; from nothing" in choices[0].why
    config, choices, _ = planned(monkeypatch, images, 0.2, 0.1, minutes=1)
    assert config.pretrained is None
    assert config.network.name == "airbench"
    assert choices[0].value == "from nothing"
    assert all(choice.what != "expected error" for choice in choices)  # the trial says more


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """32 grey pictures of 64 × 80 pixels with a bright disk, and their masks."""
    draw = np.random.default_rng(1)
    y, x = np.mgrid[:64, :80]
    for n in range(32):
        inside = (y - draw.integers(16, 48)) ** 2 + (x - draw.integers(16, 64)) ** 2 < 144
        noise = draw.integers(0, 60, (64, 80))
        pictures = {"images": (noise + 150 * inside).astype(np.uint8), "masks": inside}
        for folder, pixels in pictures.items():
            path = tmp_path / "scenes" / folder / f"{n:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "scenes"


@with_weights
@pytest.mark.parametrize("is_better", [True, False])
def test_for_masks_the_weights_are_tried_inside_a_network_that_gives_maps(
    scenes: Path, monkeypatch: pytest.MonkeyPatch, is_better: bool
) -> None:
    tried: list[tuple[str, int]] = []

    def try_training(config: RunConfig, data: Dataset, *_: Any) -> Trial:
        tried.append((config.network.name, data.train.images.shape[3]))
        others = 0.2 if is_better else 0.05
        return promising(0.1 if config.pretrained is not None else others)

    monkeypatch.setattr(start, "try_training", try_training)
    config, choices, _ = resolve(Request(str(scenes), minutes=2), speed=speed)
    assert tried == [("efficientnet_unet", 3), ("unet", 1)]
    assert config.network.name == ("efficientnet_unet" if is_better else "unet")
    assert (config.pretrained is not None) == is_better
    assert config.data.channels == (3 if is_better else 1)
    assert choices[0].value == ("from published weights" if is_better else "from nothing")
    config, choices, _ = resolve(Request(str(scenes), minutes=1.9), speed=speed)
    assert config.network.name == "unet"
    assert all(choice.what != "start" for choice in choices)


@pytest.mark.slow
@with_weights
def test_both_ways_to_masks_are_trained_for_a_moment(scenes: Path) -> None:
    config, choices, _ = resolve(Request(str(scenes), minutes=2), speed=speed)
    assert config.task.name == "segmentation"
    assert choices[0].what == "start"
    assert choices[0].why.count("mean IoU") == 2
    assert "expected at the end" not in choices[0].why
    assert (config.pretrained is not None) == (config.network.name == "efficientnet_unet")


@with_weights
@pytest.mark.parametrize(
    "wish",
    [
        {"minutes": 1, "pretrained": "none"},
        {"minutes": 1, "network": "resnet"},
        {"minutes": 1, "assignments": ("data.channels=1",)},
        {"minutes": 0.19},
        {"steps": 20},
        {"epochs": 3},
    ],
)
def test_a_wish_or_a_number_of_steps_leaves_nothing_to_try(
    images: str, monkeypatch: pytest.MonkeyPatch, wish: dict[str, Any]
) -> None:
    config, choices, _ = planned(monkeypatch, images, 0.1, 0.2, **wish)
    assert config.pretrained is None
    assert all(choice.what != "start" for choice in choices)


def test_without_weights_a_line_says_what_they_would_add(
    images: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "find_weights", lambda _: None)
    config, choices, _ = planned(monkeypatch, images, 0.1, 0.2, minutes=1)
    assert config.pretrained is None
    assert (choices[0].what, choices[0].value) == ("weights", "none")
    assert "pip install 'striate[weights]'" in choices[0].why
    assert any(choice.what == "expected error" for choice in choices)
