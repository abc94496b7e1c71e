"""Groups of items that pairs connect, directly or through others."""

from collections.abc import Sequence

import numpy as np


def connected(num: int, pairs: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    """Find the smallest member of each item's group, (num,) int64.

    Args:
        num: Number of items.
        pairs: Pairs of items that belong together.

    Example:
        >>> connected(6, [(0, 2), (4, 2)]).tolist()
        [0, 1, 0, 3, 0, 5]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.asarray(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), (num, num))
    _, groups = connected_components(graph, directed=False)
    _, smallest = np.unique(groups, return_index=True)
    return smallest[groups].astype(np.int64)
