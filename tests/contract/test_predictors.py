"""Every registered predictor learns, is restored from its arrays, and stays the same."""

import numpy as np
import pytest
from safetensors.numpy import load, save

from striate.classical import PREDICTORS
from striate.registry import Pick

QUICK = {
    "sift-bow": {"words": 10, "levels": (1, 2)},
    "sift-fisher": {"gaussians": 3, "dim": 6, "step": 6},
}


def pictures(seed: int, num: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Upright and lying stripes, with noise."""
    draw = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    waves = np.sin(np.arange(34) / 1.5 + draw.uniform(0, 6, (num, 1)))
    images = np.repeat(waves[:, :, None], 27, axis=2)
    sideways = np.repeat(waves[:, None, :27], 34, axis=1)
    images = np.where(labels[:, None, None] == 1, sideways, images)
    images = 128 + 60 * images[..., None] + draw.normal(0, 8, (num, 34, 27, channels))
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(PREDICTORS))
def test_learns_and_is_restored(name, channels):
    predictor = PREDICTORS.build(Pick(name, **QUICK.get(name, {})))
    train, other = pictures(1, 40, channels), pictures(2, 21, channels)
    learned = predictor.fit(train, other, 2, seed=3)
    restored = load(save({k: np.array(a, order="C") for k, a in learned.arrays.items()}))
    p = predictor.probabilities(other[0], restored)
    assert p.shape == (21, 2)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(p, predictor.probabilities(other[0], learned.arrays))
    # Phases differ, so that pixels tell less than directions.
    most = 0.4 if name.startswith("pixels") and name != "pixels-knn" else 0.1
    assert (p.argmax(axis=1) != other[1]).mean() <= most
    again = predictor.fit(train, other, 2, seed=3)
    assert all(np.array_equal(again.arrays[k], a) for k, a in learned.arrays.items())
