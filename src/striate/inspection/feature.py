"""Describe images by numbers that need no training.

Two descriptions, joined in one kernel. Whitened patches after Coates, Ng and Lee 2011, "An
analysis of single-layer networks in unsupervised feature learning": patches of the set itself,
whitened, are the filters; a response counts where it exceeds a threshold, on either side; it is
averaged over each quarter of the picture, with mean colours beside it. And histograms of oriented
gradients of a larger grey picture. The kernel is approximated by the Nyström method (Williams and
Seeger 2001, "Using the Nyström method to speed up kernel machines"): with the kernel of some
landmark images among themselves, K = V Λ Vᵀ, an image's kernel values k with them become the
vector Λ^(−1/2) Vᵀ k, and inner products of such vectors stand for the kernel. The cost grows with
the number of images, not with its square.
"""

import tempfile
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from striate.data.source import Progress
from striate.folders import cache_dir
from striate.inspection.gradient import gradient_histograms

_PATCH = 6
_FILTERS = 256
_STRIDE = 2
_PATCHES = 20_000
_SAMPLE = 2_000
_LANDMARKS = 2_000
_COMPONENTS = 32
# Added to the variance of a patch (grey levels squared) before it is normalised, and to the
# spectrum before it is whitened (of patches of variance 1); both as in the paper.
_CONTRAST = 10.0
_WHITEN = 0.1
_THRESHOLD = 0.25
_FIELDS = 4
# Images at once: more of them leave the processor's cache, and take half as long again.
_CHUNK = 128
# Eigenvalues whose share of the largest is smaller are rounding.
_LEAST = 1e-4


class Features(NamedTuple):
    """Descriptions of M images."""

    kernel: np.ndarray
    """(M, R) float16, R at most 2,000: inner products approximate the kernel. On the disk."""
    components: np.ndarray
    """(M, P) float32, P at most 32: leading principal components, each of variance 1."""


def features(
    thumbnails: UInt8[np.ndarray, "N S S 3"],
    grey: UInt8[np.ndarray, "N L L"],
    rows: Int[np.ndarray, "M"],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Features:
    """Compute kernel vectors and principal components of images.

    Args:
        thumbnails: Images of 32×32 pixels, perhaps on the disk.
        grey: The same images, larger and without colour.
        rows: Which of the images to describe.
        seed: Random seed of the patches and landmarks that are drawn.
        progress: Receives how many images are done.
    """
    draw = np.random.default_rng(seed)
    sample = np.sort(draw.choice(rows, min(len(rows), _SAMPLE), replace=False))
    filters = _filters(_planes(thumbnails[sample]), draw)

    def describe(some: np.ndarray) -> tuple[Tensor, Tensor]:
        return _respond(_planes(thumbnails[some]), filters), gradient_histograms(grey[some])

    chosen = np.sort(draw.choice(rows, min(len(rows), _LANDMARKS), replace=False))
    parts = [describe(chosen[start : start + _CHUNK]) for start in range(0, len(chosen), _CHUNK)]
    landmarks = Landmarks(*(torch.cat(part) for part in zip(*parts, strict=True)))
    components = []
    with tempfile.TemporaryFile(dir=cache_dir()) as stream:
        for start in range(0, len(rows), _CHUNK):
            standard = landmarks.standardise(*describe(rows[start : start + _CHUNK]))
            stream.write(landmarks.kernel_vectors(standard).numpy().astype(np.float16).data)
            components.append(landmarks.components(standard))
            if progress:
                progress("computing features", min(start + _CHUNK, len(rows)), len(rows))
        stream.flush()
        shape = (len(rows), landmarks.root.shape[1])
        kernel = np.memmap(stream, dtype=np.float16, mode="r", shape=shape)
    return Features(kernel, np.concatenate(components))


class Landmarks:
    """Images whose kernel values describe all others.

    Args:
        parts: Descriptions of the landmarks, (M, D) each; all count equally in the kernel.
    """

    def __init__(self, *parts: Float[Tensor, "M _"]) -> None:
        from sklearn.decomposition import PCA

        whole = torch.cat(parts, 1)
        self._sizes = [part.shape[1] for part in parts]
        self._mean, self._deviation = whole.mean(0), whole.std(0, correction=0) + 1e-4
        standard = self.standardise(*parts)
        self._pca = PCA(
            min(_COMPONENTS, *whole.shape), whiten=True, svd_solver="randomized", random_state=0
        )
        with np.errstate(invalid="ignore"):  # equal images have no variance to share
            self._pca.fit(standard.numpy())
        self._points = self._unit(standard)
        distances = torch.cdist(self._points, self._points).double().square()
        # The median distance makes the kernel neither too wide nor too narrow.
        apart = distances[distances > 1e-4]
        self._width = float(apart.median()) if len(apart) else 1.0
        values, vectors = torch.linalg.eigh(torch.exp(-distances / self._width))
        used = values > _LEAST * values[-1]
        self.root: Tensor = (vectors[:, used] * values[used].rsqrt()).float()

    def standardise(self, *parts: Float[Tensor, "N _"]) -> Float[Tensor, "N D"]:
        """Join the parts, brought to mean 0 and variance 1."""
        return (torch.cat(parts, 1) - self._mean) / self._deviation

    def kernel_vectors(self, standard: Float[Tensor, "N D"]) -> Float[Tensor, "N R"]:
        """Compute vectors whose inner products approximate exp(−distance² / width)."""
        distances = torch.cdist(self._unit(standard), self._points).square()
        return torch.exp(-distances / self._width) @ self.root

    def components(self, standard: Float[Tensor, "N D"]) -> Float[np.ndarray, "N P"]:
        """Compute principal components; unlike the kernel they tell how far the far ones are."""
        components: np.ndarray = self._pca.transform(standard.numpy()).astype(np.float32)
        return components

    def _unit(self, standard: Tensor) -> Tensor:
        """Scale each part to length 1, so that no part outweighs another."""
        return torch.cat(
            [F.normalize(part, eps=1e-6) for part in torch.split(standard, self._sizes, 1)], 1
        )


def _planes(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()


@torch.no_grad()
def _filters(images: Tensor, draw: np.random.Generator) -> Tensor:
    """(F, 3, P, P): whitened patches of the set of length 1, with the whitening inside."""
    which = draw.integers(0, len(images), _PATCHES)
    top, left = draw.integers(0, images.shape[-1] - _PATCH + 1, (2, _PATCHES))
    windows = images.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)  # N×3×rows×columns×P×P
    patches = windows[which, :, top, left].flatten(1)
    patches = patches - patches.mean(1, keepdim=True)
    patches = patches / (patches.square().mean(1, keepdim=True) + _CONTRAST).sqrt()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    whiten = vectors @ torch.diag((values.clamp(min=0) + _WHITEN).rsqrt()) @ vectors.T
    flat = F.normalize(patches[:_FILTERS] @ whiten, eps=1e-6) @ whiten
    # A response to the mean of a patch would undo that the mean is taken off.
    flat = flat - flat.mean(1, keepdim=True)
    filters: Tensor = flat.reshape(-1, 3, _PATCH, _PATCH)
    return filters


@torch.no_grad()
def _respond(images: Tensor, filters: Tensor) -> Tensor:
    """(N, 2·4·F + 48): responses above the threshold on either side, averaged over quarters, and
    the mean colours of 4×4 fields, which the patches have lost."""
    mean = F.avg_pool2d(images.mean(1, keepdim=True), _PATCH, _STRIDE)
    power = F.avg_pool2d(images.square().mean(1, keepdim=True), _PATCH, _STRIDE)
    contrast = ((power - mean.square()).clamp(min=0) + _CONTRAST).sqrt()
    response = F.conv2d(images, filters, stride=_STRIDE) / contrast
    above = torch.cat([F.relu(response - _THRESHOLD), F.relu(-response - _THRESHOLD)], 1)
    colours = F.adaptive_avg_pool2d(images, _FIELDS) / 255
    return torch.cat([F.adaptive_avg_pool2d(above, 2).flatten(1), colours.flatten(1)], 1)
