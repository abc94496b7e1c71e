"""Augmentations against slow, plain versions of themselves, one image at a time."""

import pytest
import torch

from striate.data.augment import (
    AUGMENTATIONS,
    affine,
    augmenter,
    colour,
    cutmix,
    erase,
    flip,
    mixup,
    resized_crop,
    shift,
)
from striate.errors import ConfigError
from striate.registry import Pick


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, 7, 10, generator=torch.Generator().manual_seed(1))


TARGET = torch.tensor([0, 3, 1, 2, 0, 3])


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def names_with_arguments() -> list[Pick]:
    extra = {"mixup": {"num_classes": 4}, "cutmix": {"num_classes": 4}}
    return [Pick(name, **extra.get(name, {})) for name in AUGMENTATIONS]


@pytest.mark.parametrize("pick", names_with_arguments(), ids=lambda pick: pick.name)
class TestEvery:
    def test_shape_range_and_target(self, pick, images):
        changed, target = (
            AUGMENTATIONS.build(pick, images=images, target=TARGET, generator=draw(), num_classes=4)
            if "num_classes" not in pick.arguments
            else AUGMENTATIONS.build(pick, images=images, target=TARGET, generator=draw())
        )
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert 0 <= changed.min() <= changed.max() <= 1 + 1e-6
        if target.ndim == 2:
            torch.testing.assert_close(target.sum(dim=1), torch.ones(6))
        else:
            assert torch.equal(target, TARGET)

    def test_same_generator_same_result_and_input_untouched(self, pick, images):
        before = images.clone()
        results = []
        for seed in (5, 5, 6):
            function = AUGMENTATIONS.bind(pick, ("images", "target", "generator"))
            results.append(function(images, TARGET, draw(seed))[0])
        assert torch.equal(images, before)
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])


def test_flip_mirrors_some_images_whole(images):
    changed, _ = flip(images, TARGET, draw())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(changed, images, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(changed, images, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 0 < sum(mirrored) < 6
    upside_down, _ = flip(images, TARGET, draw(), probability=1.0, vertical=True)
    assert torch.equal(upside_down, images.flip(-2))


def test_shift_is_a_crop_of_the_mirrored_border(images):
    changed, _ = shift(images, TARGET, draw(), fraction=0.3)
    padded = torch.nn.functional.pad(images, (3, 3, 2, 2), mode="reflect")
    for place in range(6):
        windows = [
            padded[place, :, top : top + 7, left : left + 10]
            for top in range(5)
            for left in range(7)
        ]
        assert any(torch.equal(changed[place], window) for window in windows)
    assert not torch.equal(changed, images)


def test_affine_without_amplitude_is_the_identity(images):
    changed, _ = affine(images, TARGET, draw(), degrees=0, scale=0, shift=0, shear=0)
    torch.testing.assert_close(changed, images, rtol=0, atol=2e-6)


def test_affine_turns_by_the_angle_in_pixels_not_in_shares():
    # A quarter turn of a 5×9 image: the pixel right of the centre goes above or below it.
    image = torch.zeros(1, 1, 5, 9)
    image[0, 0, 2, 5] = 1.0
    places = set()
    for seed in range(200):
        generator = draw(seed)
        angle = (torch.rand(1, generator=draw(seed)) * 2 - 1) * 90
        changed, _ = affine(image, TARGET[:1], generator, degrees=90, scale=0, shift=0, shear=0)
        if angle.abs() > 89:
            places.add(divmod(int(changed.flatten().argmax()), 9))
    assert places <= {(1, 4), (3, 4)}
    assert places


def test_resized_crop_of_everything_is_the_identity(images):
    changed, _ = resized_crop(images, TARGET, draw(), smallest=1.0, ratio=1.0)
    torch.testing.assert_close(changed, images, rtol=0, atol=2e-6)


def test_colour_without_amplitude_is_the_identity(images):
    changed, _ = colour(images, TARGET, draw(), brightness=0, contrast=0, saturation=0)
    torch.testing.assert_close(changed, images, rtol=0, atol=1e-6)


def test_erase_covers_one_rectangle_with_the_mean(images):
    changed, _ = erase(images, TARGET, draw(3), fraction=0.5, probability=1.0)
    mean = images.mean(dim=(0, 2, 3)).view(3, 1, 1)
    for before, after in zip(images, changed, strict=True):
        covered = (after != before).any(dim=0)
        rows, columns = covered.any(dim=1), covered.any(dim=0)
        assert covered.sum() == rows.sum() * columns.sum() > 0
        torch.testing.assert_close(after[:, covered], mean.expand(3, *after.shape[1:])[:, covered])


def test_mixup_blends_images_and_classes_by_the_same_share(images):
    changed, soft = mixup(images, TARGET, draw(), num_classes=4, alpha=1.0)
    hot = torch.nn.functional.one_hot(TARGET, 4).float()
    for place in range(6):
        fits = []
        for other in range(6):
            difference = (images[place] - images[other]).flatten()
            share = ((changed[place] - images[other]).flatten() @ difference) / (
                difference @ difference
            ).clamp_min(1e-9)
            blend = share * images[place] + (1 - share) * images[other]
            classes = share * hot[place] + (1 - share) * hot[other]
            fits.append(
                torch.allclose(blend, changed[place], atol=1e-5)
                and torch.allclose(classes, soft[place], atol=1e-4)
            )
        assert any(fits)


def test_cutmix_shares_follow_the_area(images):
    distinct = torch.arange(6).view(6, 1, 1, 1).expand(6, 3, 7, 10) / 10
    classes = torch.arange(6)
    changed, soft = cutmix(distinct.contiguous(), classes, draw(2), num_classes=6)
    for place in range(6):
        kept = (changed[place, 0] == distinct[place, 0]).float().mean()
        torch.testing.assert_close(soft[place, place], kept)
    assert (soft > 0).sum() > 6


def test_pipeline_has_its_own_stream_at_each_step(images):
    augment = augmenter((Pick("flip"), Pick("flip", vertical=True), Pick("mixup")), 4, 0)
    first, soft = augment(images, TARGET, 0)
    again, _ = augment(images, TARGET, 0)
    later, _ = augment(images, TARGET, 1)
    assert soft.shape == (6, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_unknown_arguments_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'fraction'"):
        augmenter((Pick("shift", fractoin=0.1),), 4, 0)


def test_alternating_needs_to_know_which_showing_it_is(images):
    with pytest.raises(ConfigError, match="`odd`"):
        flip(images, TARGET, draw(), alternating=True)
    odd = torch.arange(6) % 2 == 1
    turned, _ = flip(images, TARGET, draw(), alternating=True, odd=odd, vertical=True)
    assert torch.equal(turned[0::2], images[0::2])
    assert torch.equal(turned[1::2], images[1::2].flip(2))
    with pytest.raises(ConfigError, match="follows from the data"):
        augmenter((Pick("flip", odd=True),), 4, 0)
