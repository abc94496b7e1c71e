"""Numbers as colours: one map for sizes, one for signs.

Both can be read by people who do not tell red from green, and in print without colour: the
luminance rises with the number, or falls to both sides of zero. What is compared shares a scale;
none is stretched to its own extremes.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]
Kind = TypeVar("Kind", bound=np.generic)

KINDS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167), (120, 120, 120),
)  # fmt: skip
"""Colours of kinds that colour-blind readers tell apart (Okabe and Ito 2008)."""
KIND_WORDS = ("orange", "sky blue", "green", "yellow", "blue", "vermilion", "purple", "grey")
_SIZES = (
    (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137),
    (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37),
)  # fmt: skip
"""Points of the map viridis at equal distances (Smith and van der Walt 2015, CC0)."""
_SIGNS = (
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 224, 182), (253, 184, 99), (224, 130, 20), (179, 88, 6), (127, 59, 8),
)  # fmt: skip
"""Blue below zero, white at zero, orange above (Brewer's PuOr and RdBu, both for colour-blind
readers)."""


def sizes(values: Values, largest: float) -> Pixels:
    """Numbers from 0 to `largest` as colours from dark violet to yellow: (H, W) to (H, W, 3).

    What lies beyond is drawn as the end of the scale, what is no number as grey.

    Args:
        values: Numbers.
        largest: End of the scale; 0 where all numbers are 0.

    Example:
        >>> sizes(np.array([[0.0, 2.0, 9.0]]), largest=2.0)[0].tolist()
        [[68, 1, 84], [253, 231, 37], [253, 231, 37]]
    """
    return _coloured(values / (largest or 1.0), _SIZES)


def signs(values: Values, largest: float) -> Pixels:
    """Numbers from −`largest` to `largest` as blue, white and orange: (H, W) to (H, W, 3).

    Args:
        values: Numbers.
        largest: Both ends of the scale; 0 where all numbers are 0.

    Example:
        >>> signs(np.array([[-3.0, 0.0, 3.0]]), largest=3.0)[0].tolist()
        [[5, 48, 97], [247, 247, 247], [127, 59, 8]]
    """
    return _coloured((values / (largest or 1.0) + 1) / 2, _SIGNS)


def luminance(pixels: Pixels) -> Values:
    """Relative luminance of sRGB colours (..., 3), from 0 to 1.

    Source: WCAG 2.2, "relative luminance".
    """
    shares = pixels / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    brightness: Values = linear @ np.array([0.2126, 0.7152, 0.0722])
    return brightness


def enlarged(values: npt.NDArray[Kind], size: tuple[int, int]) -> npt.NDArray[Kind]:
    """A map (h, w, ...) at another size, each of its positions as a rectangle.

    Example:
        >>> enlarged(np.array([[1, 2]]), (2, 4)).tolist()
        [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    rows = np.arange(size[0]) * values.shape[0] // size[0]
    columns = np.arange(size[1]) * values.shape[1] // size[1]
    larger: npt.NDArray[Kind] = values[rows[:, None], columns]
    return larger


def blended(picture: Pixels, colours: Pixels, share: Values | float) -> Pixels:
    """Colours laid over a picture (H, W, 1 or 3), as opaque as `share` (H, W) says."""
    opacity = np.broadcast_to(np.asarray(share, float), picture.shape[:2])[..., None]
    mixed = (1 - opacity) * picture + opacity * colours
    return np.asarray(mixed.round().clip(0, 255), np.uint8)


def over_grey(
    picture: Pixels, values: Values, largest: float, *, signed: bool, opacity: float
) -> Pixels:
    """A map (h, w) in colours over the grey form of a picture (H, W, C), at the picture's size.

    Args:
        picture: Picture that the map belongs to.
        values: Map.
        largest: End of the scale, or both ends where numbers have a sign.
        signed: Whether they have one.
        opacity: Share of the colours, 0 to 1.
    """
    larger = enlarged(values, (picture.shape[0], picture.shape[1]))
    colours = (signs if signed else sizes)(larger, largest)
    grey = picture.mean(2, keepdims=True).repeat(3, axis=2)
    return blended(grey, colours, opacity)


def tiled(pictures: list[Pixels], columns: int, gap: int = 2) -> npt.NDArray[np.uint8]:
    """Pictures (H, W, C) of one size in rows, with transparent gaps: (..., 4).

    Args:
        pictures: Pictures in reading order.
        columns: Pictures in a row.
        gap: Pixels between them.
    """
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.zeros(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 4), dtype=np.uint8
    )
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        cell = sheet[top : top + height, left : left + width]
        cell[..., :3], cell[..., 3] = picture, 255
    return sheet


def _coloured(shares: Values, points: tuple[tuple[int, int, int], ...]) -> Pixels:
    known = np.isfinite(shares)
    at = np.where(known, shares, 0).clip(0, 1) * (len(points) - 1)
    channels = np.array(points, float).T
    mixed = np.stack([np.interp(at, np.arange(len(points)), c) for c in channels], axis=-1)
    mixed[~known] = 128
    return np.asarray(mixed.round(), np.uint8)
