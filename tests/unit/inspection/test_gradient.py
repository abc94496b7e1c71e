"""Histograms of gradients: against loops over pixels and fields."""

import math

import numpy as np
import pytest
import torch

from striate.inspection.gradient import gradient_histograms


def slowly(grey: np.ndarray, *, signed: bool = False) -> np.ndarray:
    """One picture, pixel by pixel, as the paper tells it; fields of 16 at every 8."""
    x = np.sqrt(grey / 255)
    side = len(x)
    num = side // 8
    fields = np.zeros((num, num, 9))
    for i in range(side):
        for j in range(side):
            dx = x[i, j + 1] - x[i, j - 1] if 0 < j < side - 1 else 0.0
            dy = x[i + 1, j] - x[i - 1, j] if 0 < i < side - 1 else 0.0
            angle = math.atan2(dy, dx) % (2 * math.pi if signed else math.pi)
            place = angle / (2 * math.pi if signed else math.pi) * 9
            low = int(place)
            for a in range(num):
                for b in range(num):
                    if 8 * a - 4 <= i < 8 * a + 12 and 8 * b - 4 <= j < 8 * b + 12:
                        strength = math.hypot(dx, dy) / 256
                        fields[a, b, low % 9] += strength * (1 - place + low)
                        fields[a, b, (low + 1) % 9] += strength * (place - low)
    blocks = np.zeros((2, 2, 9, num - 1, num - 1))
    for a in range(num - 1):
        for b in range(num - 1):
            norm = math.sqrt((fields[a : a + 2, b : b + 2] ** 2).sum() + 1e-4)
            cut = np.minimum(fields[a : a + 2, b : b + 2] / norm, 0.2)
            blocks[:, :, :, a, b] = cut
    return blocks.reshape(-1)


def test_it_is_what_loops_over_pixels_give() -> None:
    draw = np.random.default_rng(0)
    grey = draw.integers(0, 256, (3, 24, 24), dtype=np.uint8)
    found = gradient_histograms(grey)
    assert found.shape == (3, 36 * 4)
    for row, picture in zip(found, grey, strict=True):
        np.testing.assert_allclose(row.numpy(), slowly(picture), atol=1e-5)
    # The twin: a half turn is another direction.
    assert np.abs(found[0].numpy() - slowly(grey[0], signed=True)).max() > 0.01


@pytest.mark.parametrize(("angle", "bins"), [(0, {0}), (90, {4, 5}), (45, {2, 3}), (160, {8})])
def test_stripes_fall_into_their_orientation(angle: int, bins: set[int]) -> None:
    y, x = np.mgrid[:32, :32]
    along = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
    grey = (127 + 60 * np.sin(along / 3)).astype(np.uint8)
    found = gradient_histograms(grey[None]).reshape(4, 9, -1).sum((0, 2))
    strongest = set(torch.topk(found, len(bins)).indices.tolist())
    assert strongest == bins


def test_brightness_leaves_no_trace() -> None:
    draw = np.random.default_rng(3)
    field = draw.integers(0, 120, (1, 4, 4)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    found = gradient_histograms(field), gradient_histograms(2 * field)
    torch.testing.assert_close(*found, atol=2e-3, rtol=0.02)
