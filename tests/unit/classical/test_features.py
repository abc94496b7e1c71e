"""Hand-made features against other libraries, slow loops and hand computation."""

import math

import numpy as np
import pytest

from striate.classical import BagOfWords, dense_sift, fisher_vector, hog
from striate.classical.pyramid import pooled
from striate.classical.vocabulary import _level_weights, learn_words, nearest_word
from striate.errors import ShapeError

rng = np.random.default_rng(5)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


class TestHog:
    @pytest.mark.parametrize(("cell", "orientations", "block"), [(8, 9, 2), (5, 7, 3)])
    def test_agrees_with_scikit_image(self, cell, orientations, block):
        from skimage.feature import hog as theirs

        images = noise(3, 37, 46, 1)
        ours = hog(images, cell, orientations=orientations, block=block)
        sizes = (cell, cell), (block, block)
        wanted = [theirs(image[..., 0].astype(float), orientations, *sizes) for image in images]
        np.testing.assert_allclose(ours, np.stack(wanted), atol=1e-6)
        turned = hog(images.swapaxes(1, 2).copy(), cell, orientations=orientations, block=block)
        assert np.abs(turned - np.stack(wanted)).max() > 0.01

    def test_small_images_are_refused_with_a_way_out(self):
        with pytest.raises(ShapeError, match=r"2 × 1 cells of 8.*smaller cells"):
            hog(noise(2, 17, 9, 1), 8)


def one_descriptor(image: np.ndarray, top: int, left: int, bin_size: int) -> np.ndarray:
    """SIFT of one patch, pixel by pixel, from the paper's words."""
    x = image.astype(float)
    found = np.zeros((4, 4, 8))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            dy = x[i + 1, j] - x[i - 1, j] if 0 < i < x.shape[0] - 1 else 0
            dx = x[i, j + 1] - x[i, j - 1] if 0 < j < x.shape[1] - 1 else 0
            angle = math.atan2(dy, dx) / (2 * math.pi) * 8 % 8
            low = int(angle)
            for row in range(4):
                for column in range(4):
                    away = [
                        abs(i - (top + bin_size * row + bin_size // 2)) / bin_size,
                        abs(j - (left + bin_size * column + bin_size // 2)) / bin_size,
                    ]
                    if max(away) >= 1:
                        continue
                    weight = (1 - away[0]) * (1 - away[1]) * math.hypot(dy, dx)
                    weight *= math.exp(-((row - 1.5) ** 2 + (column - 1.5) ** 2) / 8)
                    found[row, column, low % 8] += weight * (1 - (angle - low))
                    found[row, column, (low + 1) % 8] += weight * (angle - low)
    flat = found.ravel() / np.linalg.norm(found)
    flat = np.minimum(flat, 0.2)
    return flat / np.linalg.norm(flat)


class TestSift:
    def test_agrees_with_loops_over_pixels(self):
        images = noise(1, 25, 31, 1)
        found = dense_sift(images, step=5, bin_size=3)
        assert found.shape == (1, 3, 4, 128)
        for row, column in [(0, 0), (2, 1), (1, 3)]:
            wanted = one_descriptor(images[0, ..., 0], 5 * row, 5 * column, 3)
            np.testing.assert_allclose(found[0, row, column], wanted, atol=2e-5)
        wrong = one_descriptor(images[0, ..., 0], 5, 6, 3)
        assert np.abs(found[0, 1, 1] - wrong).max() > 0.01

    def test_light_does_not_change_it(self):
        image = noise(1, 24, 24, 1) // 4
        brighter = 3 * image + 20
        np.testing.assert_allclose(dense_sift(brighter), dense_sift(image), atol=1e-4)

    def test_what_is_flat_is_zero(self):
        image = np.full((1, 20, 20, 3), 90, np.uint8)
        image[0, 10, 10] = 91
        assert not dense_sift(image).any()

    def test_small_images_are_refused_with_a_way_out(self):
        with pytest.raises(ShapeError, match="15 × 40 pixels are smaller than a SIFT patch of 16"):
            dense_sift(noise(1, 15, 40, 1))


class TestVocabulary:
    def test_words_are_the_centres_of_what_lies_together(self):
        corners = np.array([[0, 0], [9, 1], [2, 8]], float)
        rows = np.repeat(corners, 40, axis=0) + rng.normal(0, 0.05, (120, 2))
        words = learn_words(rows.astype(np.float32), 3, 0)
        order = nearest_word(corners, words)
        assert sorted(order) == [0, 1, 2]
        np.testing.assert_allclose(words[order], corners, atol=0.1)

    def test_there_are_never_more_words_than_rows(self):
        assert len(learn_words(np.eye(3, dtype=np.float32), 7, 0)) == 3

    def test_weights_of_levels_are_the_papers(self):
        # 1/4, 1/4, 1/2 for three levels (equation 3), each shared by its regions.
        weights = _level_weights((1, 2, 4))
        assert [weights[:1].sum(), weights[1:5].sum(), weights[5:].sum()] == [0.25, 0.25, 0.5]

    def test_a_histogram_tells_what_is_where(self):
        images = np.zeros((1, 32, 40, 1), np.uint8)
        images[0, :, 28:] = noise(32, 12, 1)
        feature = BagOfWords(words=4, step=4, levels=(1, 2))
        learned = feature.learn(images, 0)
        parts = feature.histograms(images, learned).reshape(5, 4)
        np.testing.assert_allclose(parts.sum(), 1, rtol=1e-6)
        flat = nearest_word(np.zeros((1, 128)), learned["words"])[0]
        np.testing.assert_allclose(parts[1, flat] / parts[1].sum(), 1)
        assert parts[2, flat] / parts[2].sum() < 0.7


class TestPyramid:
    def test_regions_cover_each_point_once_at_a_level(self):
        codes = rng.normal(size=(2, 7, 5, 3))
        found = pooled(codes, (1, 3), lambda c: c.sum(axis=1))
        np.testing.assert_allclose(sum(found[1:]), found[0])

    def test_fewer_points_than_regions(self):
        found = pooled(np.ones((1, 2, 1, 1)), (4,), lambda c: c.mean(axis=1))
        assert [float(f[0, 0]) for f in found] == [1.0] * 16


def test_fisher_vector_is_the_gradient_of_the_likelihood():
    """By differences of the mean log-likelihood, in means and deviations, then whitened."""
    num, dim = 3, 2
    rows = rng.normal(size=(1, 11, dim))
    weights = np.array([0.2, 0.5, 0.3])
    means, deviations = rng.normal(size=(num, dim)), rng.uniform(0.5, 1.5, (num, dim))

    def likelihood(m, s):
        z = (rows[0][:, None] - m) / s
        density = np.exp(-0.5 * (z**2).sum(-1)) / np.prod(s, axis=1) / (2 * math.pi) ** (dim / 2)
        return np.log(density @ weights).mean()

    found = fisher_vector(rows, weights, means, deviations**2).reshape(2, num, dim)
    h = 1e-6
    for g in range(num):
        for d in range(dim):
            nudge = np.zeros((num, dim))
            nudge[g, d] = h
            by_mean = likelihood(means + nudge, deviations) - likelihood(means - nudge, deviations)
            by_dev = likelihood(means, deviations + nudge) - likelihood(means, deviations - nudge)
            # The Fisher information of a mean is w / s², that of a deviation 2 w / s².
            scale = deviations[g, d] / np.sqrt(weights[g])
            np.testing.assert_allclose(found[0, g, d], scale * by_mean / (2 * h), rtol=1e-5)
            wanted = scale / np.sqrt(2) * by_dev / (2 * h)
            np.testing.assert_allclose(found[1, g, d], wanted, rtol=1e-5)
