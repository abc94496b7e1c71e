"""The cost of each prediction by log-likelihood and Brier score, and that of a mistake.

A nearly perfect network loses next to nothing on most items and much on a few. Where the test
set happens to hold none of these few, nothing in the losses of its items shows what they would
cost; the probabilities do, as far as they can be believed.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEW_MISTAKES = 1
"""Number of mistakes up to which the average cost of a mistake is hardly known."""
_TINY = float(np.finfo(np.float32).tiny)
"""Stands for a zero, which is a single-precision softmax that underflowed, so that the mean stays
finite."""
LARGEST_LOSS, LARGEST_BRIER = -math.log(_TINY), 2.0
"""Largest negative log-likelihood, 87.3 nats, and largest Brier score of an item."""


def losses_of_items(probabilities: Floats, target: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The negative log-likelihood (N,), nats, and the Brier score (N,) of each item.

    Args:
        probabilities: (N, K).
        target: (N,) index of the true class.

    Example:
        >>> log_loss, brier = losses_of_items(np.array([[0.5, 0.5]]), np.array([0]))
        >>> round(float(log_loss[0]), 4), float(brier[0])
        (0.6931, 0.5)
    """
    truth = probabilities[np.arange(len(target)), target]
    briers = (probabilities**2).sum(axis=1) - 2 * truth + 1
    return -np.log(np.maximum(truth, _TINY)), briers


def losses_of_a_mistake(probabilities: Floats) -> tuple[float, float]:
    """The mean negative log-likelihood and Brier score of a mistake, were the probabilities honest.

    An item has another truth than its prediction as often as its probabilities say, and unsure
    items more often than sure ones: the mean over items and other classes is weighted so.

    Args:
        probabilities: (N, K).

    Example:
        >>> log_loss, brier = losses_of_a_mistake(np.array([[0.9, 0.1], [0.999, 0.001]]))
        >>> round(log_loss, 2), round(brier, 2)
        (2.35, 1.62)
    """
    other = probabilities.copy()
    other[np.arange(len(other)), probabilities.argmax(axis=1)] = 0
    weight = other.sum()
    if weight <= _TINY:
        return LARGEST_LOSS, LARGEST_BRIER
    costs = (probabilities**2).sum(axis=1, keepdims=True) - 2 * probabilities + 1
    log_loss = (other * -np.log(np.maximum(other, _TINY))).sum() / weight
    return float(log_loss), float((other * costs).sum() / weight)
