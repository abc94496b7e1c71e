"""A fused batch has the bits of the operations on images, for every kind of pipeline."""

import numpy as np
import pytest
import torch

from striate import kernels
from striate.data.augment import Augmenter
from striate.data.field import Category
from striate.data.loader import BatchLoader, Normalisation
from striate.data.part import ImageSet
from striate.errors import DataError
from striate.registry import Pick

PIPELINES = {
    "none": (),
    "flip": (Pick("flip"),),
    "moves": (Pick("shift", fraction=0.4), Pick("flip", vertical=True), Pick("flip")),
    "moves, then colour": (Pick("flip"), Pick("shift", fraction=0.3), Pick("colour")),
    "colour, then moves": (Pick("colour"), Pick("shift", fraction=0.3)),
    "mixed targets": (Pick("flip"), Pick("mixup")),
}


def loader(channels: int, picks) -> BatchLoader:
    draw = np.random.default_rng(channels)
    images = draw.integers(0, 256, (13, 6, 9, channels), dtype=np.uint8)
    names = tuple(map(str, range(13)))
    fields = {"category": Category("abcd")}
    data = ImageSet(images, {"category": np.arange(13) % 4}, fields, names, names)
    normalise = Normalisation(tuple(draw.random(channels)), tuple(draw.random(channels) + 0.1))
    return BatchLoader(data, 5, 3, normalise, Augmenter(picks, fields, 3))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_batch_has_the_same_bits_with_and_without_the_kernel(pipeline, channels, monkeypatch):
    picks = PIPELINES[pipeline]
    fused, plain = [], []
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "available", lambda: False)
        source = loader(channels, picks)
        plain += [source.batch(step) for step in (0, 1, 4)]
    source = loader(channels, picks)
    fused += [source.batch(step) for step in (0, 1, 4)]
    for mine, other in zip(fused, plain, strict=True):
        assert torch.equal(mine["image"], other["image"])
        assert torch.equal(mine["category"], other["category"])
        assert mine["image"].is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(fused[0]["image"], fused[1]["image"])


def test_crops_by_hand():
    stored = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    table = torch.rand(5, 256)
    rows, columns = torch.tensor([[2, 0], [1, 1]]), torch.tensor([[3, 1, 1], [0, 2, 3]])
    y = kernels.augmented_batch(stored, np.array([1, 0]), rows, columns, table)
    assert y.shape == (2, 5, 2, 3)
    for b, c, h, w in np.ndindex(2, 5, 2, 3):
        value = stored[1 - b, rows[b, h], columns[b, w], c]
        assert y[b, c, h, w] == table[c, value]


@pytest.mark.parametrize("wrong", ["index", "rows", "columns"])
@pytest.mark.parametrize("native", [True, False])
def test_what_is_not_stored_is_refused(wrong, native):
    stored = np.zeros((2, 3, 4, 1), dtype=np.uint8)
    stored = stored if native else stored[:, :, ::-1]
    places = {
        "index": np.array([1]),
        "rows": torch.tensor([[0, 1]]),
        "columns": torch.tensor([[0, 3]]),
    }
    for value in (-1, 4):
        places[wrong][..., 0] = value
        with pytest.raises(DataError, match="do not have"):
            kernels.augmented_batch(stored, **places, table=torch.zeros(1, 256))
