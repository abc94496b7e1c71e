"""Features are computed once for each image, whatever the folds, and never for test images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.config import PredictionConfig, PretrainedConfig
from striate.data import ImageSet
from striate.data.cache import clear_cache, list_cache
from striate.training.feature_store import FeatureStore
from tiny_training import tiny_config

VIEWS = PredictionConfig(mirrored=True)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return of_weights(tmp_path, "a" * 64)


def of_weights(tmp_path: Path, sha256: str) -> FeatureStore:
    pretrained = PretrainedConfig("tiny", "tiny.pth", sha256, (0.5,) * 3, (0.2,) * 3)
    return FeatureStore(replace(tiny_config(tmp_path), pretrained=pretrained))


def images(names: str) -> ImageSet:
    """An image of one pixel for each letter; its digest is the letter."""
    pixels = np.array([ord(name) for name in names], np.uint8).reshape(-1, 1, 1, 1)
    return ImageSet(pixels, {}, {}, tuple(names), tuple(names))


class Counting:
    """Features that are the image's number, and how often each image was computed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, split: ImageSet) -> Tensor:
        self.seen += split.names
        values = torch.tensor([float(ord(name)) for name in split.names])
        return torch.stack([values, -values], 1)[:, :, None]


def test_each_image_is_computed_once(store: FeatureStore) -> None:
    compute = Counting()
    first = store.features(images("acbd"), VIEWS, compute)
    assert first[:, 0, 0].tolist() == [97, 99, 98, 100]
    assert not store.holds(images("ae"), VIEWS)
    second = store.features(images("edcaa"), VIEWS, compute)
    assert second[:, 1, 0].tolist() == [-101, -100, -99, -97, -97]
    assert compute.seen == list("acbde")
    assert store.holds(images("abcde"), VIEWS)


def test_other_views_weights_and_sizes_are_apart(store: FeatureStore, tmp_path: Path) -> None:
    compute = Counting()
    store.features(images("ab"), VIEWS, compute)
    store.features(images("ab"), PredictionConfig(), compute)
    of_weights(tmp_path, "b" * 64).features(images("ab"), VIEWS, compute)
    of_weights(tmp_path, "a" * 64).features(images("ab"), VIEWS, compute)
    assert compute.seen == list("ababab")


def test_a_damaged_file_is_made_again(store: FeatureStore, tmp_path: Path) -> None:
    compute = Counting()
    expected = store.features(images("ab"), VIEWS, compute)
    (path,) = (tmp_path / "cache" / "features").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))
    assert torch.equal(store.features(images("ab"), VIEWS, compute), expected)
    assert compute.seen == list("abab")
    assert store.holds(images("ab"), VIEWS)


def test_they_are_listed_and_cleared(store: FeatureStore) -> None:
    store.features(images("ab"), VIEWS, Counting())
    (entry,) = list_cache()
    assert entry.kind == "features"
    assert entry.num_bytes > 16
    assert [removed.path for removed in clear_cache()] == [entry.path]
    assert not store.holds(images("a"), VIEWS)


def test_a_disk_that_refuses_takes_nothing_from_the_training(
    store: FeatureStore, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("a file in the way")
    assert store.features(images("ab"), VIEWS, Counting())[:, 0, 0].tolist() == [97, 98]
