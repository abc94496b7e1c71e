"""Batches are a pure function of their step; the position is all there is to resume."""

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

FIELDS = {"category": Category("abcd")}


def image_set(num: int, channels: int = 3) -> ImageSet:
    draw = np.random.default_rng(num)
    images = draw.integers(0, 256, (num, 5, 7, channels), dtype=np.uint8)
    # The first pixel tells which item it is.
    images[:, 0, 0, 0] = np.arange(num)
    names = tuple(map(str, range(num)))
    return ImageSet(images, {"category": np.arange(num) % 4}, FIELDS, names, names)


PLAIN = Normalisation((0.0,) * 3, (1.0,) * 3)


def loader(num: int = 11, batch: int = 4, **changes) -> BatchLoader:
    return BatchLoader(image_set(num), batch, changes.pop("seed", 3), PLAIN, **changes)


def items_of(batch) -> list[int]:
    return (batch["image"][:, 0, 0, 0] * 255).round().int().tolist()


def test_each_epoch_shows_each_item_once_in_its_own_order():
    stream = np.concatenate([loader().items(step) for step in range(11)])
    epochs = stream.reshape(4, 11)
    for epoch in epochs:
        assert sorted(epoch) == list(range(11))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_images_and_targets_belong_together():
    batch = next(loader())
    assert batch["image"].shape == (4, 3, 5, 7)
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert batch["category"].tolist() == [item % 4 for item in items_of(batch)]


@pytest.mark.parametrize("prefetch", [False, True])
def test_resuming_anywhere_gives_the_same_batches(prefetch):
    augment = Augmenter((Pick("flip"), Pick("shift", fraction=0.3), Pick("colour")), FIELDS, 3)
    whole = loader(augment=augment, prefetch=False)
    batches = [next(whole) for _ in range(9)]
    for start in (0, 1, 5, 8):
        again = loader(augment=augment, prefetch=prefetch)
        again.load_state_dict({"position": start, "seed": 3})
        for step in range(start, 9):
            batch = next(again)
            assert torch.equal(batch["image"], batches[step]["image"])
            assert torch.equal(batch["category"], batches[step]["category"])
        assert again.state_dict() == {"position": 9, "seed": 3}
        again.close()


@pytest.mark.parametrize("native", [True, False])
def test_alternating_flips_show_each_side_in_two_epochs(native, monkeypatch):
    if not native:
        monkeypatch.setattr(kernels, "available", lambda: False)
    data = image_set(11)
    data.images[:, 0, -1, 0] = data.images[:, 0, 0, 0]  # tells the item from either side
    pick = Pick("flip", alternating=True)
    source = BatchLoader(data, 4, 3, PLAIN, Augmenter((pick,), FIELDS, 3))
    seen = [[] for _ in range(11)]
    for _ in range(11):  # 44 images: four epochs, whose borders lie within batches
        for image in next(source)["image"]:
            item = round(float(image[0, 0, 0]) * 255)
            stored = torch.from_numpy(data.images[item]).permute(2, 0, 1) / 255
            mirrored = torch.equal(image, stored.flip(2))
            assert mirrored or torch.equal(image, stored)
            seen[item].append(mirrored)
    for sides in seen:
        assert sides in ([True, False] * 2, [False, True] * 2)
    assert len({sides[0] for sides in seen}) == 2
    other = BatchLoader(data, 4, 3, PLAIN, Augmenter((pick,), FIELDS, 4))
    first = BatchLoader(data, 4, 3, PLAIN, Augmenter((pick,), FIELDS, 3))
    assert not torch.equal(next(first)["image"], next(other)["image"])


def test_the_state_of_another_seed_is_refused():
    with pytest.raises(DataError, match="belongs to seed 4"):
        loader().load_state_dict({"position": 1, "seed": 4})


def test_another_seed_gives_another_order():
    assert not np.array_equal(loader(seed=3).items(0), loader(seed=4).items(0))


def test_a_set_smaller_than_the_batch_and_an_empty_one():
    small = loader(num=3, batch=8)
    assert sorted(items_of(next(small))) == [0, 1, 2]
    with pytest.raises(DataError, match="no training images"):
        loader(num=0)


def test_normalisation_loses_no_digit_of_many_bright_images():
    draw = np.random.default_rng(0)
    images = draw.integers(253, 256, (1500, 3, 2, 3), dtype=np.uint8)  # squares beyond 2**24
    values = images.astype(np.float64) / 255
    measured = Normalisation.measure(images)
    np.testing.assert_allclose(measured.std, values.std(axis=(0, 1, 2)), rtol=1e-9)


def test_normalisation_is_the_mean_and_deviation_of_all_pixels():
    images = image_set(600).images  # of several pieces
    measured = Normalisation.measure(images)
    values = images.astype(np.float64) / 255
    np.testing.assert_allclose(measured.mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(measured.std, values.std(axis=(0, 1, 2)), rtol=1e-9)
    normalised = measured(torch.from_numpy(values).permute(0, 3, 1, 2))
    torch.testing.assert_close(
        normalised.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_a_constant_channel_is_left_alone():
    images = np.full((6, 4, 4, 1), 51, dtype=np.uint8)
    assert Normalisation.measure(images).std == (1.0,)
