"""The spatial pyramid: what is pooled over the whole image, its quarters, its sixteenths.

Source: Lazebnik, Schmid and Ponce, "Beyond bags of features: spatial pyramid matching for
recognizing natural scene categories", 2006.
"""

from collections.abc import Callable
from itertools import product

import numpy as np


def pooled(
    codes: np.ndarray, levels: tuple[int, ...], pool: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """The pooled codes of each region, level by level, row by row: (N, F) each.

    Args:
        codes: (N, rows, columns, D), one for each point of a grid.
        levels: Regions along a side at each level: (1, 2, 4) are three levels with 21 regions.
        pool: (N, points, D) to (N, F).

    Example:
        >>> codes = np.arange(12.0).reshape(1, 2, 6, 1)
        >>> [float(p[0, 0]) for p in pooled(codes, (1, 2), lambda c: c.mean(axis=1))]
        [5.5, 1.0, 4.0, 7.0, 10.0]
    """
    regions = []
    for level in levels:
        for rows, columns in product(*(_spans(side, level) for side in codes.shape[1:3])):
            region = codes[:, rows, columns]
            regions.append(pool(region.reshape(len(codes), -1, codes.shape[3])))
    return regions


def _spans(side: int, level: int) -> list[slice]:
    """The points of each region along a side; where points are fewer, regions share them."""
    starts = [min(n * side // level, side - 1) for n in range(level)]
    return [slice(s, max((n + 1) * side // level, s + 1)) for n, s in enumerate(starts)]
