"""Features of pictures that need no training.

Two descriptions, then one kernel of both. Whitened patches after Coates, Ng and Lee 2011, "An
analysis of single-layer networks in unsupervised feature learning": patches of the set itself,
whitened, are the filters; a response counts where it exceeds a threshold, on either side; it is
averaged over each quarter of the picture. Beside them mean colours. And histograms of gradients of
a larger grey picture. A linear classifier on likenesses to landmarks is far from the best network,
and two minutes' work for 100,000 pictures.
"""

import tempfile
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor

from striate.data.source import Progress
from striate.inspection.gradient import gradient_histograms
from striate.inspection.landmark import Landmarks
from striate.places import cache_dir

__all__ = ["Features", "features"]

_PATCH = 6
_FILTERS = 256
_STRIDE = 2
_PATCHES = 20_000
_SAMPLE = 2_000
_LANDMARKS = 2_000
# Added to the variance of a patch (grey levels squared) before it is evened out, and to the
# spectrum before it is whitened (of patches of variance 1); both as in the paper.
_CONTRAST = 10.0
_WHITEN = 0.1
_THRESHOLD = 0.25
_FIELDS = 4
# Pictures at once: more of them leave the processor's cache, and take half as long again.
_CHUNK = 128


class Features(NamedTuple):
    """Pictures in numbers."""

    kernel: np.ndarray
    """(M, R) float16, R at most 2,000: their products are likenesses. In a nameless file."""
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
    """Likenesses to landmarks and principal components of pictures.

    Args:
        thumbnails: 32×32, perhaps on the disk.
        grey: the same pictures, larger and without colour.
        rows: which of them.
        seed: of the patches and landmarks that are drawn.
        progress: told how many are done.
    """
    draw = np.random.default_rng(seed)
    sample = np.sort(draw.choice(rows, min(len(rows), _SAMPLE), replace=False))
    filters = _filters(_planes(thumbnails[sample]), draw)

    def described(some: np.ndarray) -> list[Tensor]:
        return [_respond(_planes(thumbnails[some]), filters), gradient_histograms(grey[some])]

    chosen = np.sort(draw.choice(rows, min(len(rows), _LANDMARKS), replace=False))
    parts = [described(chosen[start : start + _CHUNK]) for start in range(0, len(chosen), _CHUNK)]
    patches, gradients = (torch.cat(part) for part in zip(*parts, strict=True))
    landmarks = Landmarks(
        torch.cat([patches, gradients], 1), (patches.shape[1], gradients.shape[1])
    )
    components = []
    with tempfile.TemporaryFile(dir=cache_dir()) as stream:
        for start in range(0, len(rows), _CHUNK):
            some = torch.cat(described(rows[start : start + _CHUNK]), 1)
            stream.write(landmarks.place(some).numpy().astype(np.float16).data)
            components.append(landmarks.components(some).numpy())
            if progress:
                progress("computing features", min(start + _CHUNK, len(rows)), len(rows))
        stream.flush()
        shape = (len(rows), landmarks.num_directions)
        kernel = np.memmap(stream, dtype=np.float16, mode="r", shape=shape)
    return Features(kernel, np.concatenate(components))


def _planes(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()


@torch.no_grad()
def _filters(images: Tensor, draw: np.random.Generator) -> Tensor:
    """(F, 3, P, P): whitened patches of the set of length 1, with the whitening inside."""
    side = images.shape[-1] - _PATCH
    which = draw.integers(0, len(images), _PATCHES)
    top, left = draw.integers(0, side + 1, (2, _PATCHES))
    patches = torch.stack(
        [
            images[i, :, y : y + _PATCH, x : x + _PATCH].flatten()
            for i, y, x in zip(which.tolist(), top.tolist(), left.tolist(), strict=True)
        ]
    )
    patches = patches - patches.mean(1, keepdim=True)
    patches = patches / (patches.square().mean(1, keepdim=True) + _CONTRAST).sqrt()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    whiten = vectors @ torch.diag((values.clamp(min=0) + _WHITEN).rsqrt()) @ vectors.T
    white = (patches[:_FILTERS] @ whiten).double()
    white = (white / white.norm(dim=1, keepdim=True).clamp(min=1e-6)).float()
    flat = white @ whiten
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
