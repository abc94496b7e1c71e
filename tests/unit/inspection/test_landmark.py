"""The kernel by landmarks: where all images are landmarks it is the kernel itself."""

import numpy as np
import torch
from scipy.spatial.distance import cdist

from striate.inspection.feature import Landmarks


def unit(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    standard = (x - mean) / (deviation + 1e-4)
    parts = np.split(standard, [4], axis=1)
    return np.concatenate([p / np.linalg.norm(p, axis=1, keepdims=True) for p in parts], 1)


def parts(x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.from_numpy(x).float().split([4, 7], 1)
    return first, second


def vectors(landmarks: Landmarks, x: np.ndarray) -> np.ndarray:
    return landmarks.kernel_vectors(landmarks.standardise(*parts(x))).double().numpy()


def test_products_of_vectors_are_the_kernel() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (37, 11))
    found = vectors(Landmarks(*parts(x)), x)
    points = unit(x, x.mean(0), x.std(0))
    distances = cdist(points, points) ** 2
    width = np.median(distances[distances > 1e-4])
    np.testing.assert_allclose(found @ found.T, np.exp(-distances / width), atol=2e-4)
    # The twin: a kernel whose parts are not of one length.
    rough = cdist((x - x.mean(0)) / x.std(0), (x - x.mean(0)) / x.std(0)) ** 2
    other = np.exp(-rough / np.median(rough[rough > 1e-4]))
    assert np.abs(found @ found.T - other).max() > 0.02


def test_other_images_are_described_by_the_landmarks() -> None:
    draw = np.random.default_rng(1)
    x, new = draw.normal(size=(23, 11)), draw.normal(size=(9, 11))
    found = vectors(Landmarks(*parts(x)), new)
    points, others = (unit(z, x.mean(0), x.std(0)) for z in (x, new))
    distances = cdist(points, points) ** 2
    width = np.median(distances[distances > 1e-4])
    kernel = np.exp(-(cdist(others, points) ** 2) / width)
    nystrom = kernel @ np.linalg.pinv(np.exp(-distances / width)) @ kernel.T
    np.testing.assert_allclose(found @ found.T, nystrom, atol=2e-4)


def test_equal_images_have_one_direction() -> None:
    landmarks = Landmarks(*parts(np.ones((5, 11))))
    assert landmarks.root.shape[1] == 1
    assert np.isfinite(vectors(landmarks, np.ones((2, 11)))).all()
