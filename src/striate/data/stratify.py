"""Iterative stratification: parts of a set in which every label is as frequent as in the whole.

For items with any number of labels each. The rarest label is placed first, for it can go wrong in
the fewest members; each of its groups goes to the part that lacks this label most.

Source: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data",
ECML PKDD 2011, algorithm 1; items are groups here, and ties fall to the part that lacks most items,
then to one drawn by a hash.
"""

from collections.abc import Callable, Sequence

import numpy as np

Membership = int | tuple[int, ...]
"""Class of an item, or the labels that it has, perhaps none."""


def each(labels: Membership) -> tuple[int, ...]:
    """The labels of one item, of which a class is one."""
    return (labels,) if isinstance(labels, int) else labels


def are_several(labels: Sequence[Membership]) -> bool:
    """Whether items have any number of labels instead of one class."""
    return any(isinstance(of_item, tuple) for of_item in labels)


def counts_of(labels: Sequence[Membership], num_labels: int) -> list[int]:
    """The number of items that have each label (K,)."""
    flat = [label for of_item in labels for label in each(of_item)]
    counts: list[int] = np.bincount(np.array(flat, np.int64), minlength=num_labels).tolist()
    return counts


def stratify(
    groups: Sequence[Sequence[int]],
    labels: Sequence[Membership],
    shares: Sequence[float],
    draw: Callable[[int], int],
) -> list[int]:
    """The part of each group.

    Args:
        groups: Items of each group (G,); a group is never divided.
        labels: Labels of each item.
        shares: Share of the items that each part is to have; they sum to 1.
        draw: Number for each group, in whose order groups are placed and ties are decided.

    Example:
        >>> parts = stratify([[0], [1], [2], [3]], [(0,), (0,), (0, 1), (1,)], [0.5, 0.5], hash)
        >>> parts[0] != parts[1], parts[2] != parts[3]
        (True, True)
    """
    num_labels = 1 + max((label for of_item in labels for label in each(of_item)), default=0)
    counts = np.array([counts_of([labels[i] for i in g], num_labels) for g in groups], np.int64)
    sizes = np.array([len(group) for group in groups], np.int64)
    lacking = np.outer(shares, counts.sum(0)).astype(np.float64)
    room = np.array(shares) * sizes.sum()
    order = sorted(range(len(groups)), key=draw)
    parts = [-1] * len(groups)

    def assign_group(group: int, wanted: np.ndarray) -> None:
        """Give a group to the part that lacks most of what is wanted."""
        best = [p for p in range(len(shares)) if wanted[p] >= wanted.max() - 1e-9]
        best = [p for p in best if room[p] >= max(room[q] for q in best) - 1e-9]
        parts[group] = best[draw(group) % len(best)]
        lacking[parts[group]] -= counts[group]
        room[parts[group]] -= sizes[group]

    left = counts.sum(0)
    while left.any():
        label = int(np.where(left > 0, left, left.max() + 1).argmin())
        for group in order:
            if parts[group] < 0 and counts[group, label]:
                assign_group(group, lacking[:, label])
                left = left - counts[group]
    for group in order:
        if parts[group] < 0:
            assign_group(group, room)
    return parts
