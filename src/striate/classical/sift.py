"""Dense SIFT: the neighbourhood of every point of a grid as 4×4 histograms of 8 directions.

Source: Lowe, "Distinctive image features from scale-invariant keypoints", 2004, section 6; on a
grid, upright and of one scale, as in Lazebnik, Schmid and Ponce, "Beyond bags of features", 2006.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.classical.grey import gradients, grey
from striate.errors import ShapeError

_BINS = 4
_DIRECTIONS = 8
_CLIP = 0.2
"""Lowe 2004, section 6.1: no direction counts for more, as light may saturate."""
_FLAT = 0.5
"""Mean contrast a pixel, in grey levels of 0..255, below which a patch is flat: what it shows is
rounding. Its descriptor is 0."""


def dense_sift(images: np.ndarray, *, step: int = 8, bin_size: int = 4) -> np.ndarray:
    """(N, rows, columns, 128) float32 descriptors of length 1, or of zeros where all is flat.

    A pixel votes for the two nearest directions and, by distance, for the nearest bins along
    both axes; bins weigh less away from the centre (a Gaussian half as wide as the patch).

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        step: From a patch to the next, pixels.
        bin_size: Side of one of the 4×4 bins; a patch is four of them wide.

    Raises:
        ShapeError: images smaller than a patch.

    Source: Lowe 2004, section 6.1.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (2, 40, 33, 3), np.uint8)
        >>> rows = dense_sift(noise)
        >>> rows.shape, bool(np.allclose(np.linalg.norm(rows, axis=-1), 1, atol=1e-5))
        ((2, 4, 3, 128), True)
    """
    x = grey(images)
    patch = _BINS * bin_size
    if min(x.shape[1:]) < patch:
        raise ShapeError(
            f"Images of {x.shape[1]} × {x.shape[2]} pixels are smaller than a SIFT patch of "
            f"{patch} × {patch}. Take a smaller bin_size or larger images."
        )
    votes = _spread(_votes(x), bin_size)
    starts = [torch.arange(0, side - patch + 1, step) for side in x.shape[1:]]
    # A bin's votes are read half a pixel before its middle, where its triangle has its top.
    positions = [s[:, None] + bin_size * torch.arange(_BINS) + bin_size // 2 for s in starts]
    taken = votes[:, :, positions[0].flatten()][..., positions[1].flatten()]
    rows, columns = len(starts[0]), len(starts[1])
    taken = taken.reshape(len(x), _DIRECTIONS, rows, _BINS, columns, _BINS)
    histograms = taken.permute(0, 2, 4, 3, 5, 1) * _window()
    return _normalised(histograms.flatten(3), bin_size).numpy()


def _votes(x: Tensor) -> Tensor:
    """N×8×H×W: the magnitude of each pixel's gradient, shared by the two nearest directions."""
    down, right = gradients(x)
    magnitude = torch.hypot(down, right) / 2
    angle = torch.atan2(down, right) * (_DIRECTIONS / (2 * torch.pi)) % _DIRECTIONS
    distance = (angle[:, None] - torch.arange(_DIRECTIONS).view(-1, 1, 1)).abs()
    distance = torch.minimum(distance, _DIRECTIONS - distance)
    return magnitude[:, None] * (1 - distance).clamp(min=0)


def _spread(votes: Tensor, bin_size: int) -> Tensor:
    """Votes summed with triangular weights over the neighbourhood that a bin reaches."""
    ramp = 1 - torch.arange(1 - bin_size, bin_size).abs() / bin_size
    kernel = ramp.expand(_DIRECTIONS, 1, -1)
    border = bin_size - 1
    votes = F.conv2d(votes, kernel[..., None], padding=(border, 0), groups=_DIRECTIONS)
    return F.conv2d(votes, kernel[:, :, None], padding=(0, border), groups=_DIRECTIONS)


def _window() -> Tensor:
    """4×4×1 weights of the bins: a Gaussian with the deviation of two bins, at their middles."""
    away = torch.arange(_BINS) - (_BINS - 1) / 2
    weight = torch.exp(-away.square() / (2 * (_BINS / 2) ** 2))
    return (weight[:, None] * weight)[..., None]


def _normalised(rows: Tensor, bin_size: int) -> Tensor:
    tiny = torch.finfo(rows.dtype).tiny
    contrast = rows.sum(-1, keepdim=True) / (_BINS * bin_size) ** 2
    rows = rows / rows.norm(dim=-1, keepdim=True).clamp(min=tiny)
    rows = rows.clamp(max=_CLIP)
    rows = rows / rows.norm(dim=-1, keepdim=True).clamp(min=tiny)
    return torch.where(contrast < _FLAT, torch.zeros(()), rows)
