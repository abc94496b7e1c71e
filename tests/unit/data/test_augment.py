"""Augmentations against slow, plain versions of themselves, one image at a time."""

import pytest
import torch
import torch.nn.functional as F

from striate.data.augment import AUGMENTATIONS, Augmenter, shown_size
from striate.data.augment.geometric import affine, crop, flip, resized_crop, shift
from striate.data.augment.mixing import cutmix, mixup
from striate.data.augment.pixel import colour, erase
from striate.data.field import Boxes, Category, Mask, Points, Value
from striate.data.source import Item
from striate.data.warp import Affine
from striate.errors import ConfigError, DataError
from striate.registry import Pick


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, 7, 10, generator=torch.Generator().manual_seed(1))


TARGET = torch.tensor([0, 3, 1, 2, 0, 3])


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


FIELDS = {"category": Category("abcd")}


def picks() -> list[Pick]:
    needed = {"crop": {"size": (7, 10), "smallest": 0.8, "largest": 1.5}}
    return [Pick(name, **needed.get(name, {})) for name in AUGMENTATIONS]


@pytest.mark.parametrize("pick", picks(), ids=lambda pick: pick.name)
class TestEvery:
    def test_shape_range_and_target(self, pick, images):
        batch = Augmenter((pick,), FIELDS, 0)({"image": images, "category": TARGET}, 0)
        changed, target = batch["image"], batch["category"]
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert 0 <= changed.min() <= changed.max() <= 1 + 1e-6
        if target.ndim == 2:
            torch.testing.assert_close(target.sum(dim=1), torch.ones(6))
        else:
            assert torch.equal(target, TARGET)

    def test_same_seed_same_result_and_input_untouched(self, pick, images):
        before = images.clone()
        batch = {"image": images, "category": TARGET}
        results = [Augmenter((pick,), FIELDS, seed)(batch, 0)["image"] for seed in (5, 5, 6)]
        assert torch.equal(images, before)
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])


def test_flip_mirrors_some_images_whole(images):
    changed = flip(images.shape, draw()).image(images)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(changed, images, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(changed, images, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 0 < sum(mirrored) < 6
    upside_down = flip(images.shape, draw(), probability=1.0, vertical=True).image(images)
    assert torch.equal(upside_down, images.flip(-2))


def test_shift_is_a_crop_of_the_mirrored_border(images):
    changed = shift(images.shape, draw(), fraction=0.3).image(images)
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
    changed = affine(images.shape, draw(), degrees=0, scale=0, shift=0, shear=0).image(images)
    torch.testing.assert_close(changed, images, rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", range(8))
def test_affine_maps_are_torchs_to_the_last_bit(seed):
    # Runs of before are resumed, and compared, by bits.
    torch.manual_seed(seed)
    B, (H, W), (h, w) = 3, (31 + seed, 47), (20, 64 - seed)
    matrices = torch.eye(2, 3).repeat(B, 1, 1) + 0.3 * torch.randn(B, 2, 3)
    warp = Affine(matrices, (H, W), (h, w))
    images, masks = torch.rand(B, 3, H, W), torch.randint(0, 12, (B, H, W))
    grid = F.affine_grid(matrices, [B, 3, h, w], align_corners=False)
    seen = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    assert warp.image(images).equal(seen)
    # Numbers up to 11 are exact; zero comes from beyond the border.
    values = (masks.double() + 1).unsqueeze(1)
    nearest = F.grid_sample(values, grid.double(), mode="nearest", align_corners=False)
    assert warp.mask(masks, -1).equal(nearest.squeeze(1).long() - 1)


def test_affine_turns_by_the_angle_in_pixels_not_in_shares():
    # A quarter turn of a 5×9 image: the pixel right of the centre goes above or below it.
    image = torch.zeros(1, 1, 5, 9)
    image[0, 0, 2, 5] = 1.0
    places = set()
    for seed in range(200):
        generator = draw(seed)
        angle = (torch.rand(1, generator=draw(seed)) * 2 - 1) * 90
        changed = affine(image.shape, generator, degrees=90, scale=0, shift=0, shear=0).image(image)
        if angle.abs() > 89:
            places.add(divmod(int(changed.flatten().argmax()), 9))
    assert places <= {(1, 4), (3, 4)}
    assert places


def test_resized_crop_of_everything_is_the_identity(images):
    changed = resized_crop(images.shape, draw(), smallest=1.0, ratio=1.0).image(images)
    torch.testing.assert_close(changed, images, rtol=0, atol=2e-6)


def test_a_crop_of_the_scale_one_shows_pixels_of_the_image():
    """A ramp tells where each pixel of a window came from; all moves are drawn."""
    ramp = torch.arange(10.0).view(1, 1, 1, 10) + 100 * torch.arange(8.0).view(1, 1, 8, 1)
    warp = crop((64, 1, 8, 10), torch.Generator().manual_seed(0), size=(4, 6))
    seen = warp.image(ramp.expand(64, 1, 8, 10))
    assert seen.shape == (64, 1, 4, 6)
    corner = seen[:, 0, 0, 0]
    inside = torch.arange(6.0) + 100 * torch.arange(4.0).view(4, 1)
    torch.testing.assert_close(seen[:, 0], corner.view(-1, 1, 1) + inside, rtol=0, atol=1e-3)
    assert corner.min() >= -1e-3
    assert corner.max() <= 404 + 1e-3
    assert corner.remainder(100).max() > 3
    assert corner.max() > 300


def test_everything_moves_into_the_window_of_a_crop():
    """A bright square, its mask, its box and its corner are scaled and moved alike."""
    images, masks = torch.zeros(16, 1, 24, 32), torch.zeros(16, 24, 32, dtype=torch.long)
    images[:, :, 8:16, 12:20], masks[:, 8:16, 12:20] = 1.0, 1
    batch = {
        "image": images,
        "mask": masks,
        "boxes": torch.tensor([12.0, 8.0, 20.0, 16.0, 0.0]).expand(16, 1, 5),
        "points": torch.tensor([[12.0, 8.0]]).expand(16, 1, 2),
    }
    fields = {"mask": Mask("ab"), "boxes": Boxes("a"), "points": Points("a")}
    picks = [Pick("crop", size=[40, 48], smallest=1.5, largest=2.0)]
    moved = Augmenter(picks, fields, 1)(batch, 0)
    assert moved["image"].shape == (16, 1, 40, 48)
    for image, mask, box, point in zip(*(moved[k] for k in batch), strict=True):
        sure = (image[0] < 0.01) | (image[0] > 0.99)
        known = sure & (mask != 255)
        assert torch.equal(image[0][known] > 0.5, mask[known] == 1)
        rows, columns = torch.nonzero(mask == 1, as_tuple=True)
        found = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        torch.testing.assert_close(box[0, :4], found.float(), rtol=0, atol=1.0)
        torch.testing.assert_close(point[0].clamp_min(0), box[0, :2], rtol=0, atol=1e-3)


def test_a_window_beyond_the_image_has_no_mask_there():
    masks = torch.ones(4, 6, 6, dtype=torch.long)
    warp = crop(
        (4, 1, 6, 6), torch.Generator().manual_seed(0), size=(6, 6), smallest=0.5, largest=0.5
    )
    seen = warp.mask(masks, 255)
    assert ((seen == 1).flatten(1).sum(1) == 9).all()
    assert (seen == 255).sum() == 4 * 27


@pytest.mark.parametrize("size", [(0, 4), 4, (4, 4.5), None])
def test_a_window_that_is_none_is_refused(size):
    with pytest.raises(ConfigError, match="height and width in pixels"):
        shown_size([Pick("crop", size=size)], (8, 8))
    with pytest.raises(ConfigError, match="scales above"):
        crop((1, 1, 8, 8), torch.Generator(), size=(4, 4), smallest=2.0)


def test_colour_without_amplitude_is_the_identity(images):
    changed = colour(images, draw(), brightness=0, contrast=0, saturation=0)
    torch.testing.assert_close(changed, images, rtol=0, atol=1e-6)


def test_erase_covers_one_rectangle_with_the_mean(images):
    changed = erase(images, draw(3), fraction=0.5, probability=1.0)
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
    augment = Augmenter((Pick("flip"), Pick("flip", vertical=True), Pick("mixup")), FIELDS, 0)
    batch = {"image": images, "category": TARGET}
    first, again, later = augment(batch, 0), augment(batch, 0), augment(batch, 1)
    assert first["category"].shape == (6, 4)
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], later["image"])


def test_unknown_arguments_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'fraction'"):
        Augmenter((Pick("shift", fractoin=0.1),), FIELDS, 0)


def test_mixing_needs_one_class_for_each_item():
    with pytest.raises(ConfigError, match=r"'mixup' blends .* no single class \(value\)"):
        Augmenter((Pick("mixup"),), {"value": Value(("value",))}, 0)


def test_alternating_needs_the_epoch_of_each_image(images):
    with pytest.raises(ConfigError, match="`flip_parity`"):
        flip(images.shape, draw(), alternating=True)
    odd = torch.arange(6) % 2 == 1
    warp = flip(images.shape, draw(), alternating=True, flip_parity=odd, vertical=True)
    turned = warp.image(images)
    assert torch.equal(turned[0::2], images[0::2])
    assert torch.equal(turned[1::2], images[1::2].flip(2))
    with pytest.raises(ConfigError, match="follows from the data"):
        Augmenter((Pick("flip", flip_parity=True),), FIELDS, 0)


def test_boxes_are_read_from_a_json_list() -> None:
    item = Item("a.png", 0, None, columns={"boxes": "[[1, 2, 30.5, 4, 0], [0, 0, 5, 5, 1]]"})
    read = Boxes("ab").read(item)
    assert read.tolist() == [[1, 2, 30.5, 4, 0], [0, 0, 5, 5, 1]]
    assert Boxes("ab").read(item._replace(columns={"boxes": "[]"})).shape == (0, 5)
    with pytest.raises(DataError, match=r"a\.png: boxes are a JSON list"):
        Boxes("ab").read(item._replace(columns={"boxes": "[[1, 2, 3]]"}))
