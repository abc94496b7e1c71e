"""Bags of visual words: which of the words of a learned vocabulary an image shows, and where.

Source: Csurka et al., "Visual categorization with bags of keypoints", 2004; the pyramid:
Lazebnik et al. 2006.
"""

import numpy as np

from striate.classical.feature import Arrays, Feature
from striate.classical.pyramid import pooled
from striate.classical.sift import dense_sift

_SAMPLED = 50_000
"""Descriptors from which is learned; more move no centre that counts."""


def sampled_descriptors(
    images: np.ndarray, step: int, bin_size: int, seed: int, most: int = _SAMPLED
) -> np.ndarray:
    """Descriptors (M, 128) at random positions, flat ones left out; M is at most `most`."""
    draw = np.random.default_rng(seed)
    # A few from each of many images tell more than all of a few images.
    chosen = draw.permutation(len(images))[:1_000]
    each = max(1, -(-most // len(chosen)))
    parts = []
    for i in chosen:
        rows = dense_sift(np.asarray(images[i : i + 1]), step=step, bin_size=bin_size)
        rows = rows.reshape(-1, rows.shape[-1])
        rows = rows[rows.any(axis=1)]
        parts.append(rows[draw.permutation(len(rows))[:each]])
    return np.concatenate(parts)[:most]


def learn_words(rows: np.ndarray, num_words: int, seed: int) -> np.ndarray:
    """(num_words, D) centres of clusters (k-means on small batches); fewer for fewer rows.

    Args:
        rows: Descriptors (M, D).
        num_words: Number of clusters.
        seed: Random seed of the first centres and the batches.

    Source: Sculley, "Web-scale k-means clustering", 2010.
    """
    from sklearn.cluster import MiniBatchKMeans

    num = min(num_words, len(np.unique(rows, axis=0)))
    means = MiniBatchKMeans(num, batch_size=2_048, n_init=1, max_iter=30, random_state=seed)
    centres: np.ndarray = means.fit(rows).cluster_centers_.astype(np.float32)
    return centres


def nearest_word(rows: np.ndarray, words: np.ndarray) -> np.ndarray:
    """(...) number of the nearest word of each row.

    Args:
        rows: Descriptors (..., D).
        words: Words (V, D).

    Example:
        >>> nearest_word(np.array([[0.9, 0.2]]), np.eye(2)).tolist()
        [0]
    """
    nearest: np.ndarray = (np.square(words).sum(axis=1) - 2 * (rows @ words.T)).argmin(axis=-1)
    return nearest


class BagOfWords(Feature):
    """Dense SIFT as words of a k-means vocabulary, counted over a spatial pyramid.

    Counts are mapped so that a linear classifier on them is nearly one with the χ² kernel.

    Args:
        words: Size of the vocabulary.
        step, bin_size: Arguments of `dense_sift`.
        levels: Levels of the pyramid, regions a side.

    Source: Lazebnik et al. 2006; the map: Vedaldi and Zisserman, "Efficient additive kernels via
    explicit feature maps", 2012.
    """

    def __init__(
        self,
        words: int = 200,
        step: int = 8,
        bin_size: int = 4,
        levels: tuple[int, ...] = (1, 2, 4),
    ) -> None:
        self.words, self.step, self.bin_size, self.levels = words, step, bin_size, levels

    def learn(self, images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        rows = sampled_descriptors(images, self.step, self.bin_size, seed)
        return {"words": learn_words(rows, self.words, seed)}

    def histograms(self, images: np.ndarray, learned: Arrays) -> np.ndarray:
        """(N, F) weighted shares of the words in the regions, which sum to 1."""
        descriptors = dense_sift(images, step=self.step, bin_size=self.bin_size)
        words = nearest_word(descriptors, learned["words"])
        codes = np.eye(len(learned["words"]), dtype=np.float32)[words]
        regions = pooled(codes, self.levels, lambda c: c.mean(axis=1))
        whole = np.stack(regions, axis=1) * _level_weights(self.levels)[:, None]
        counts: np.ndarray = whole.reshape(len(images), -1)
        return counts

    def describe(self, images: np.ndarray, learned: Arrays) -> np.ndarray:
        from sklearn.kernel_approximation import AdditiveChi2Sampler

        counts = self.histograms(images, learned)
        mapped: np.ndarray = AdditiveChi2Sampler(sample_steps=2).fit_transform(counts)
        return mapped.astype(np.float32)

    def __str__(self) -> str:
        return f"{self.words} words"


def _level_weights(levels: tuple[int, ...]) -> np.ndarray:
    """The weight of each region: finer levels count more (Lazebnik et al. 2006, equation 3).

    A level's weight is shared by its regions, as each region's shares of words sum to 1.
    """
    last = len(levels) - 1
    share = [2.0 ** -(last if i == 0 else last - i + 1) for i in range(len(levels))]
    each = [s / n**2 for s, n in zip(share, levels, strict=True) for _ in range(n**2)]
    return np.asarray(each, dtype=np.float32) / np.float32(sum(each))
