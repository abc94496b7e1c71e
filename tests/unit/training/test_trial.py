"""Two ways to begin are tried on the training's own images, and no test image is seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.config import PretrainedConfig
from striate.data import Dataset, prepare
from striate.evaluation import Columns, Metric, Scores
from striate.networks import EfficientNetUNet
from striate.networks.pretrained import load_pretrained
from striate.networks.weight import PRETRAINED
from striate.networks.weight_file import WeightFile, find_weights
from striate.registry import Pick
from striate.training import trial
from striate.training.transfer import load_features
from tiny_training import tiny_config

WEIGHTS = find_weights(PRETRAINED["efficientnet"])
with_weights = pytest.mark.skipif(WEIGHTS is None, reason="the extra 'weights' is not installed")


def pretrained() -> PretrainedConfig:
    assert WEIGHTS is not None
    file = WeightFile.at("efficientnet", WEIGHTS)
    preparation = PRETRAINED["efficientnet"].preparation
    return PretrainedConfig(
        "efficientnet",
        str(WEIGHTS),
        file.sha256,
        preparation.mean,
        preparation.deviation,
        head="solved",
        averages="held",
    )


def never(*_: object) -> None:
    raise AssertionError("a trial opened the test split")


def sealed(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(type(data.test), "read", never)
    return data


@with_weights
def test_weights_are_tried_on_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(tiny_config(tmp_path), network=Pick("efficientnet"), pretrained=pretrained())
    data = sealed(prepare(config.data), monkeypatch)
    tried = trial.try_weights(config, data, lambda rate, pixels: (96, 96), lambda: 60.0)
    assert tried is not None
    assert len(tried.scores.rows) == len(data.train)
    assert tried.scores.headline < 0.5  # each class has a picture of its own, with noise
    assert "96 × 96 pixels" in tried.how


@with_weights
def test_less_time_for_features_promises_less(tmp_path: Path) -> None:
    config = replace(tiny_config(tmp_path), network=Pick("efficientnet"), pretrained=pretrained())
    data = prepare(config.data)
    much, little = (
        trial.try_weights(config, data, lambda *_: (96, 96), lambda s=s: s) for s in (60.0, 0.01)
    )
    assert much is not None
    assert little is not None
    assert much.expected <= little.expected


def test_a_training_from_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(tmp_path, steps=None, minutes=1.0)
    data = sealed(prepare(config.data), monkeypatch)
    tried = trial.try_training(config, data, 1.0, lambda: 60.0)
    assert len(tried.scores.rows) == len(data.validation)
    assert tried.expected <= max(tried.scores.headline, 0.5 / len(data.validation))
    assert 1.0 <= tried.seconds < 20


@pytest.mark.parametrize(("lower", "better"), [(True, 0.1), (False, 0.9)])
def test_the_metric_says_which_promises_more(lower: bool, better: float) -> None:
    metric = Metric.mean("score", lower, lambda rows: rows["x"])
    scores = Scores((metric,), Columns({"x": np.zeros(2)}))
    one, other = (trial.Trial(scores, "", value, 0.0, 1.0, (8, 8)) for value in (better, 0.5))
    assert one.promises_more_than(other)
    assert not other.promises_more_than(one)


def test_images_are_enlarged_smoothly_and_become_rgb() -> None:
    grey = np.full((3, 8, 6, 1), 77, dtype=np.uint8)
    larger = trial._resampled(grey, (128, 96))
    assert larger.shape == (3, 128, 96, 3)
    assert (larger == 77).all()


@with_weights
def test_a_backbone_is_filled_with_the_published_features() -> None:
    unet = EfficientNetUNet(5, width=4)
    decoder = {key: value.clone() for key, value in unet.decoder.state_dict().items()}
    assert load_features(unet, replace(pretrained(), head="zero"))
    published = load_pretrained("efficientnet_lite0")
    x = torch.randn(2, 3, 70, 90)
    with torch.no_grad():
        maps = unet.eval().backbone.maps(x)
        expected = published.blocks(published.stem(published.pad(x)))  # type: ignore[operator]
    torch.testing.assert_close(maps[-1], expected)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 35, 45),
        (24, 18, 23),
        (40, 9, 12),
        (112, 5, 6),
        (320, 3, 3),
    ]
    for key, value in unet.decoder.state_dict().items():
        assert torch.equal(value, decoder[key])
