"""Likeness to landmarks: where all are landmarks it is the kernel itself."""

import numpy as np
import torch
from scipy.spatial.distance import cdist

from striate.inspection.landmark import Landmarks


def unit(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    standard = (x - mean) / (deviation + 1e-4)
    parts = np.split(standard, [4], axis=1)
    return np.concatenate([p / np.linalg.norm(p, axis=1, keepdims=True) for p in parts], 1)


def test_products_of_places_are_the_kernel() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(3.0, 2.0, (37, 11))
    landmarks = Landmarks(torch.from_numpy(x).float(), (4, 7))
    placed = landmarks.place(torch.from_numpy(x).float())
    points = unit(x, x.mean(0), x.std(0))
    apart = cdist(points, points) ** 2
    width = np.median(apart[apart > 1e-4])
    np.testing.assert_allclose((placed @ placed.T).numpy(), np.exp(-apart / width), atol=2e-4)
    # The twin: a kernel whose parts are not of one length.
    rough = cdist((x - x.mean(0)) / x.std(0), (x - x.mean(0)) / x.std(0)) ** 2
    other = np.exp(-rough / np.median(rough[rough > 1e-4]))
    assert np.abs((placed @ placed.T).numpy() - other).max() > 0.02


def test_others_are_placed_by_their_likeness_to_the_landmarks() -> None:
    draw = np.random.default_rng(1)
    x, new = draw.normal(size=(23, 11)), draw.normal(size=(9, 11))
    landmarks = Landmarks(torch.from_numpy(x).float(), (4, 7))
    placed = landmarks.place(torch.from_numpy(new).float()).double().numpy()
    points, others = (unit(z, x.mean(0), x.std(0)) for z in (x, new))
    apart = cdist(points, points) ** 2
    width = np.median(apart[apart > 1e-4])
    likeness = np.exp(-(cdist(others, points) ** 2) / width)
    nystrom = likeness @ np.linalg.pinv(np.exp(-apart / width)) @ likeness.T
    np.testing.assert_allclose(placed @ placed.T, nystrom, atol=2e-4)


def test_equal_pictures_have_one_direction() -> None:
    landmarks = Landmarks(torch.ones(5, 11), (4, 7))
    assert landmarks.num_directions == 1
    assert landmarks.place(torch.ones(2, 11)).isfinite().all()
