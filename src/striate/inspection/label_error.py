"""Suspected label errors, by the probability that a label is wrong and by confident learning.

After Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset
labels" (JAIR 70). Each class has its own threshold, the mean probability of it among
the images that carry it. An image whose likeliest class, of those that reach their thresholds, is
not its own is counted in the confident joint off the diagonal. Where the classifier often errs,
most of those labels are right all the same; so the list holds the images whose label is wrong with
a fair probability (`doubt.py`), and says of each whether the confident joint names it too.
docs/explanation/inspection.md has both measured on planted errors.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from striate.inspection.doubt import probability_wrong

# Below this probability more than three of four labels are right: too many to review.
_LEAST = 0.25


class Suspects(NamedTuple):
    """Images whose label is suspected, the most certain first."""

    items: np.ndarray
    likely: np.ndarray
    """The class that they most likely show."""
    doubt: np.ndarray
    """Estimated probability that the label is wrong."""
    confident: np.ndarray
    """Whether confident learning names it too, bool."""
    joint: np.ndarray
    """(K, K) the confident joint: label by likely label, counts of images."""
    share: float
    """Estimated share of wrong labels in the whole set, of which those in the list are a part."""

    @property
    def expected(self) -> float:
        """Number of labels in the list that are expected to be wrong."""
        return float(self.doubt.sum())

    @property
    def num_confident(self) -> int:
        """Number of labels that confident learning names in the whole set."""
        return int(self.joint.sum() - self.joint.trace())


def suspects(
    probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], *, least: float = _LEAST
) -> Suspects:
    """List the images whose label is suspected.

    Args:
        probabilities: Predictions of classifiers that did not see the images.
        labels: Labels of the images.
        least: Smallest probability of being wrong with which a label is listed.

    Example:
        >>> labels = np.array([0, 1, 2] * 20)
        >>> p = 0.94 * np.eye(3)[labels] + 0.02
        >>> labels[7] = 2
        >>> suspected = suspects(p, labels)
        >>> suspected.items.tolist(), suspected.likely.tolist()
        ([7], [1])
    """
    num_classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=own, minlength=num_classes)
    # A class without images has no threshold; nothing reaches it.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = probabilities >= thresholds
    likely = np.where(confident, probabilities, -1.0).argmax(1)
    counted = confident.any(1)
    joint = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(joint, (labels[counted], likely[counted]), 1)
    named = counted & (likely != labels)
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1.0
    likely = np.where(named, likely, others.argmax(1))
    doubt = probability_wrong(probabilities, labels)
    items = np.flatnonzero(doubt >= least)
    items = items[np.lexsort((items, own[items], -doubt[items]))]
    share = float(doubt.mean())
    return Suspects(items, likely[items], doubt[items], named[items], joint, share)
