"""Two coordinates for each image, so that images which a network takes for alike lie together."""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError

__all__ = ["Embedding", "embedding"]

_KEPT = 30
"""Principal components that t-SNE begins from, as in its paper."""
_PERPLEXITY = 30
_NEIGHBOURS = 15
"""Neighbours of an image in UMAP, its default."""
_FEWEST = 4
"""Among fewer images every other one is a neighbour."""
_SAME = "The coordinates are the same with any number of threads."


@dataclass(frozen=True)
class Embedding:
    """Coordinates of images in a plane, and how they came about."""

    coordinates: Float[Tensor, "N 2"]
    caption: str
    """The method, its settings, what not to read into it, and whether it can be repeated."""


def embedding(features: Float[Tensor, "N F"], method: str = "pca", *, seed: int = 0) -> Embedding:
    """Coordinates of images in a plane by their features.

    pca keeps large distances and shows directions; tsne and umap keep neighbours, and their
    distances between groups mean little. tsne takes some seconds for each thousand images.

    Args:
        features: Features of each image.
        method: pca, tsne, or umap, which needs the package umap-learn.
        seed: Random seed of tsne and umap.

    Raises:
        ConfigError: features that are not finite, too few images, a method that does not exist, or
            umap where it is not installed.

    Source: van der Maaten and Hinton, Visualizing Data using t-SNE (2008), sections 3 and 4.2;
    begun at the principal components after Kobak and Berens, The art of using t-SNE for
    single-cell transcriptomics (2019). McInnes, Healy and Melville, UMAP (2018).

    Example:
        >>> line = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> embedding(line).coordinates.round(decimals=3)[:, 0]
        tensor([-1.4140,  0.0000,  1.4140])
    """
    methods = {"pca": _pca, "tsne": _tsne, "umap": _umap}
    if method not in methods:
        raise ConfigError(f"There is no embedding {method!r}; accepted: {', '.join(methods)}.")
    if features.ndim != 2 or not features.numel() or not bool(torch.isfinite(features).all()):
        raise ConfigError(
            f"Features {tuple(features.shape)} cannot be embedded; what is needed are finite "
            "numbers (N, F)."
        )
    if method != "pca" and len(features) < _FEWEST:
        raise ConfigError(
            f"{method} needs {_FEWEST} images at least, and {len(features)} came. Take pca."
        )
    rows = features.detach().cpu().double().numpy()
    # The order of sums, and with it their last digits, depends on the number of threads. (That
    # of the OpenMP in scikit-learn can be set through this package alone, which comes with it.)
    with importlib.import_module("threadpoolctl").threadpool_limits(limits=1):
        coordinates, caption = methods[method](rows, seed)
    return Embedding(torch.from_numpy(np.array(coordinates, np.float32)), caption)


def _components(rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (N, at most `most`, at least 2) and their shares of the variance.

    The largest weight of each direction is positive, since its sign is arbitrary.
    """
    centred = rows - rows.mean(0)
    # The triangle of a QR decomposition has the same directions, and no more rows than columns.
    _, lengths, directions = np.linalg.svd(np.linalg.qr(centred, mode="r"), full_matrices=False)
    directions = directions[:most]
    largest = np.abs(directions).argmax(1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    scores = centred @ (directions * signs[:, None]).T
    total = float((lengths**2).sum())
    shares = lengths[:most] ** 2 / total if total > 0 else np.zeros(len(directions))
    lacking = max(0, 2 - len(directions))
    return np.pad(scores, ((0, 0), (0, lacking))), np.pad(shares, (0, lacking))


def _pca(rows: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    scores, shares = _components(rows, 2)
    caption = (
        f"The first two principal components of {rows.shape[1]:,} features of {len(rows):,} "
        f"images, which have {100 * shares[0]:.0f}% and {100 * shares[1]:.0f}% of the variance. "
        f"{_SAME}"
    )
    return scores, caption


def _tsne(rows: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    from sklearn.manifold import TSNE

    kept, _ = _components(rows, _KEPT)
    perplexity = min(float(_PERPLEXITY), (len(rows) - 1) / 3)
    spread = float(kept[:, 0].std())
    start = 1e-4 * kept[:, :2] / (spread if spread > 0 else 1.0)
    model = TSNE(perplexity=perplexity, init=start, random_state=seed % 2**32, n_jobs=1)
    caption = (
        f"t-SNE of {kept.shape[1]} principal components of {rows.shape[1]:,} features of "
        f"{len(rows):,} images, begun at the first two of them: perplexity {perplexity:.3g}, "
        f"{model.max_iter:,} iterations, random seed {seed}. It keeps neighbours: distances "
        f"between groups and the sizes of groups mean little. {_SAME}"
    )
    return model.fit_transform(kept), caption


def _umap(rows: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    try:
        package: Any = importlib.import_module("umap")
    except ImportError as error:
        raise ConfigError(
            "umap needs a package that is not installed: pip install umap-learn. Or take tsne."
        ) from error
    neighbours = min(_NEIGHBOURS, len(rows) - 1)
    model = package.UMAP(
        n_components=2, n_neighbors=neighbours, random_state=seed % 2**32, n_jobs=1
    )
    caption = (
        f"UMAP of {rows.shape[1]:,} features of {len(rows):,} images: {neighbours} neighbours, "
        f"least distance {model.min_dist:g}, random seed {seed}. It keeps neighbours: distances "
        "between groups and the sizes of groups mean little. The coordinates may differ with "
        "another number of threads or on another machine, although the seed is fixed "
        "(lmcinnes/umap, issues 853 and 1080)."
    )
    return model.fit_transform(rows), caption
