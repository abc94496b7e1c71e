"""Groups from pairs: what is linked through others belongs together."""

from collections.abc import Iterable

import numpy as np

__all__ = ["joined"]


def joined(num: int, links: Iterable[tuple[int, int]]) -> np.ndarray:
    """(num,) the smallest member of each one's group.

    Args:
        num: how many there are.
        links: pairs of what belongs together.

    Example:
        >>> joined(6, [(0, 2), (4, 2)]).tolist()
        [0, 1, 0, 3, 0, 5]
    """
    parent = np.arange(num)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for first, second in links:
        one, other = root(first), root(second)
        parent[max(one, other)] = min(one, other)
    return np.array([root(i) for i in range(num)], dtype=np.int64)
