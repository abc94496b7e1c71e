"""The eight positions of a square: mirrored, turned by quarters, or both.

The first moments of brightness, across and down, change their signs with a mirror and change places
with a quarter turn. The position in which both are positive and the one across is the larger is
therefore one for all eight: pictures that were brought there are compared once instead of eight
times.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped, UInt8

_CHANGES: tuple[tuple[int, Callable[[np.ndarray], np.ndarray]], ...] = (
    (1, lambda images: images[:, :, ::-1]),
    (2, lambda images: images[:, ::-1]),
    (4, lambda images: images.swapaxes(1, 2)),
)
"""Bits of a position: mirrored across, mirrored down, and then rows exchanged for columns."""


def positions(squares: Shaped[np.ndarray, "N S S"]) -> UInt8[np.ndarray, "N"]:
    """Changes that bring each square into the common position, as the bits of a number.

    Example:
        >>> square = np.array([[[0.0, 0.0], [3.0, 1.0]]])
        >>> turned = np.concatenate([np.rot90(square, k, axes=(1, 2)) for k in range(4)])
        >>> moved(turned, positions(turned)).tolist()[0]
        [[0.0, 1.0], [0.0, 3.0]]
    """
    offsets = np.arange(squares.shape[1]) - (squares.shape[1] - 1) / 2
    across, down = squares.sum(1) @ offsets, squares.sum(2) @ offsets
    bits = (across < 0) * 1 + (down < 0) * 2 + (np.abs(down) > np.abs(across)) * 4
    return np.asarray(bits, np.uint8)


def moved(
    images: Shaped[np.ndarray, "N S S ..."], bits: UInt8[np.ndarray, "N"]
) -> Shaped[np.ndarray, "N S S ..."]:
    """Squares after the changes of `positions`, in an array of their own."""
    images = images.copy()
    for bit, change in _CHANGES:
        rows = np.flatnonzero(bits & bit)
        images[rows] = change(images[rows])
    return images
