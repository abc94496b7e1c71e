"""Short vectors by which similar thumbnails find each other."""

import numpy as np
from jaxtyping import Float, UInt8

SIDE = 32
"""Side of a thumbnail, pixels: small photographs keep all they have."""
GRID = 8
"""Means of so many fields a side describe a thumbnail: recompression does not reach them."""

# What a copy that was cut by a tenth of its width or less may show of the whole: (top, left,
# side) in pixels of the thumbnail. Some view is within two pixels of each such cut.
_CUTS = ((1, 1, 30), (0, 0, 30), (0, 2, 30), (2, 0, 30), (2, 2, 30))
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def grey_of(thumbnails: UInt8[np.ndarray, "N S S 3"]) -> Float[np.ndarray, "N S S"]:
    """ITU-R 601 luma of thumbnails, float32 in 0..255."""
    return thumbnails.astype(np.float32) @ _LUMA


def describe(grey: Float[np.ndarray, "N S S"]) -> Float[np.ndarray, "N D"]:
    """Unit vectors of the means of 8×8 fields, brightness and contrast taken off.

    The inner product of two is the correlation of the blurred pictures; of a constant one it is 0.
    """
    return _unit(_cut(grey, 0, 0, SIDE))


def views(grey: Float[np.ndarray, "N S S"]) -> list[Float[np.ndarray, "N D"]]:
    """Descriptors of slightly tighter cuts of each picture."""
    return [_unit(_cut(grey, *cut)) for cut in _CUTS]


def _cut(grey: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """Means of the fields of a square that is stretched to the full side."""
    weights = _stretch(side).reshape(GRID, SIDE // GRID, side).mean(1)
    fields: np.ndarray = weights @ grey[:, top : top + side, left : left + side] @ weights.T
    return fields


def _unit(fields: np.ndarray) -> np.ndarray:
    flat = fields.reshape(len(fields), -1)
    flat = flat - flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    # A norm of half a level over 64 fields is rounding, no picture.
    return np.where(norm > 0.5, flat / np.maximum(norm, 0.5), 0).astype(np.float32)


def _stretch(side: int) -> np.ndarray:
    """(SIDE, side): the matrix that interpolates `side` samples at SIDE positions."""
    positions = ((np.arange(SIDE) + 0.5) * (side / SIDE) - 0.5).clip(0, side - 1)
    low = np.minimum(positions.astype(int), side - 2)
    weights = np.zeros((SIDE, side), np.float32)
    rows = np.arange(SIDE)
    weights[rows, low] = 1 - (positions - low)
    weights[rows, low + 1] = positions - low
    return weights
