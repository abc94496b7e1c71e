"""Suspected label errors by confident learning.

After Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset
labels" (JAIR 70). Each class has its own threshold, the mean probability that it is given among
the images that carry it. An image that reaches the threshold of another class and not that of its
own is counted in the confident joint off the diagonal: it is a suspect. Suspects are ordered by
the probability of the given label, the least first (their self-confidence).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Suspects", "suspects"]


class Suspects(NamedTuple):
    """Images whose label is doubted, the least credible first."""

    items: np.ndarray
    likely: np.ndarray
    """The class that they most likely show."""
    credence: np.ndarray
    """Probability of the given label."""
    joint: np.ndarray
    """(K, K) the confident joint: given label by likely label, counts of images."""


def suspects(probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> Suspects:
    """Images whose given label is doubted.

    Args:
        probabilities: of classifiers that did not see the image.
        labels: as given.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
        >>> found = suspects(p, np.array([0, 0, 1, 1, 1]))
        >>> found.items.tolist(), found.likely.tolist()
        ([4], [0])
    """
    num_classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=own, minlength=num_classes)
    # A class without images has no threshold; nothing reaches it.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = probabilities >= thresholds
    reached = np.where(confident, probabilities, -1.0)
    likely = reached.argmax(1)
    counted = confident.any(1)
    joint = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(joint, (labels[counted], likely[counted]), 1)
    doubted = np.flatnonzero(counted & (likely != labels))
    order = np.lexsort((doubted, own[doubted]))
    doubted = doubted[order]
    return Suspects(doubted, likely[doubted], own[doubted], joint)
