"""Fisher vectors: how the descriptors of an image depart from a mixture of Gaussians.

Source: Perronnin, Sánchez and Mensink, "Improving the Fisher kernel for large-scale image
classification", 2010; notation of Sánchez et al., "Image classification with the Fisher vector",
2013.
"""

import warnings

import numpy as np

from striate.classical.feature import Arrays, Feature
from striate.classical.pyramid import pooled
from striate.classical.sift import dense_sift
from striate.classical.vocabulary import sampled_descriptors

_SAMPLED = 30_000


def fisher_vector(
    rows: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """(N, 2·G·D) gradients of the log-likelihood by means and deviations, whitened.

    Args:
        rows: (N, points, D) descriptors of each image.
        weights, means, variances: (G,), (G, D), (G, D) of the mixture.

    Source: Sánchez et al. 2013, equations 17 and 18.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(1, 40_000, 1))
        >>> vector = fisher_vector(rows, np.ones(1), np.zeros((1, 1)), np.ones((1, 1)))
        >>> bool(np.abs(vector).max() < 0.02)  # drawn from the mixture: no departure from it
        True
    """
    num, points, dim = rows.shape
    flat = rows.reshape(-1, dim)
    precision = 1 / variances
    logs = (
        np.log(weights)
        - 0.5 * (np.log(variances) + np.square(means) * precision).sum(axis=1)
        - 0.5 * np.square(flat) @ precision.T
        + flat @ (means * precision).T
    )
    logs -= logs.max(axis=1, keepdims=True)
    share = np.exp(logs)
    share /= share.sum(axis=1, keepdims=True)
    share = share.reshape(num, points, -1)
    # Sums over the points of 1, x and x², from which both gradients follow.
    total = share.sum(axis=1)[..., None]  # N×G×1
    first = np.swapaxes(share, 1, 2) @ rows  # N×G×D
    second = np.swapaxes(share, 1, 2) @ np.square(rows)
    by_mean = (first - total * means) / np.sqrt(variances)
    by_deviation = (second - 2 * means * first + total * np.square(means)) * precision - total
    root = np.sqrt(weights)[:, None]
    both = np.stack([by_mean / root, by_deviation / (np.sqrt(2) * root)], axis=1) / points
    vectors: np.ndarray = both.reshape(num, -1)
    return vectors


class FisherVectors(Feature):
    """Dense SIFT after PCA as Fisher vectors over a pyramid, with power and L2 normalisation.

    Args:
        gaussians: Number of Gaussians of the mixture.
        dim: Numbers of a descriptor that PCA leaves.
        step, bin_size: Arguments of `dense_sift`.
        levels: Levels of the pyramid, regions a side.
    """

    def __init__(
        self,
        gaussians: int = 32,
        dim: int = 64,
        step: int = 4,
        bin_size: int = 4,
        levels: tuple[int, ...] = (1, 2),
    ) -> None:
        self.gaussians, self.dim, self.levels = gaussians, dim, levels
        self.step, self.bin_size = step, bin_size

    def learn(self, images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        from sklearn.decomposition import PCA
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        rows = sampled_descriptors(images, self.step, self.bin_size, seed, _SAMPLED)
        pca = PCA(min(self.dim, *rows.shape), random_state=seed).fit(rows)
        num = min(self.gaussians, len(rows))
        mixture = GaussianMixture(
            num, covariance_type="diag", max_iter=30, reg_covar=1e-5, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(pca.transform(rows))
        arrays = {
            "centre": pca.mean_,
            "axes": pca.components_,
            "weights": mixture.weights_,
            "means": mixture.means_,
            "variances": mixture.covariances_,
        }
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def describe(self, images: np.ndarray, learned: Arrays) -> np.ndarray:
        descriptors = dense_sift(images, step=self.step, bin_size=self.bin_size)
        rows = (descriptors - learned["centre"]) @ learned["axes"].T
        mixture = (learned["weights"], learned["means"], learned["variances"])

        def pool(piece: np.ndarray) -> np.ndarray:
            vector = fisher_vector(piece, *mixture)
            vector = np.sign(vector) * np.sqrt(np.abs(vector))
            length = np.linalg.norm(vector, axis=1, keepdims=True)
            normed: np.ndarray = vector / np.maximum(length, np.finfo(np.float32).tiny)
            return normed

        regions = pooled(rows, self.levels, pool)
        whole: np.ndarray = np.concatenate(regions, axis=1) / np.sqrt(len(regions))
        return whole.astype(np.float32)

    def __str__(self) -> str:
        return f"{self.gaussians} Gaussians"
