"""The last layer, where backpropagation starts: a number L from scores s and true classes y.

Equation 1 of backpropagation, δ at the last layer, is ∂L/∂s, which is what the functions here
return for p = ∂L/∂L = 1.
"""

# mypy: disable-error-code=no-any-return
# (numpy's stubs call a reduction or an indexing Any)

import numpy as np
from jaxtyping import Float, Int

from striate.calculus.reference.array import Array, Labels

__all__ = [
    "hinge",
    "hinge_bp",
    "softmax",
    "softmax_bp",
    "softmax_cross_entropy",
    "softmax_cross_entropy_bp",
]


def one_hot(y: Int[Labels, "B"], num_classes: int) -> Float[Array, "B K"]:
    """1 at the true class of each example, 0 elsewhere."""
    return np.eye(num_classes)[y]


def softmax(s: Float[Array, "B K"]) -> Float[Array, "B K"]:
    """Probabilities eˢ / Σ eˢ; the largest score is subtracted first, which changes nothing.

    Example:
        >>> softmax(np.array([[3.2, 5.1, -1.7]])).round(2)
        array([[0.13, 0.87, 0.  ]])
    """
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_bp(p: Float[Array, "B K"], s: Float[Array, "B K"]) -> Float[Array, "B K"]:
    """y (p − Σ p y) with y the probabilities: what lifts one class presses down the others.

    Example:
        >>> softmax_bp(np.array([[1.0, 0.0]]), np.zeros((1, 2)))
        array([[ 0.25, -0.25]])
    """
    probabilities = softmax(s)
    return probabilities * (p - (p * probabilities).sum(axis=1, keepdims=True))


def softmax_cross_entropy(s: Float[Array, "B K"], y: Int[Labels, "B"]) -> float:
    """L = −ln (probability of the true class), the mean over the batch.

    Example:
        >>> round(softmax_cross_entropy(np.array([[3.2, 5.1, -1.7]]), np.array([0])), 2)
        2.04
    """
    shifted = s - s.max(axis=1, keepdims=True)  # B K
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(one_hot(y, s.shape[1]) * log_probabilities).sum() / len(s))


def softmax_cross_entropy_bp(
    p: float, s: Float[Array, "B K"], y: Int[Labels, "B"]
) -> Float[Array, "B K"]:
    """Equation 1: δ = probabilities − truth, over the size of the batch.

    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network
    outputs.

    Example:
        >>> s, y = np.array([[3.2, 5.1, -1.7]]), np.array([0])
        >>> softmax_cross_entropy_bp(1.0, s, y).round(2)
        array([[-0.87,  0.87,  0.  ]])
    """
    return p * (softmax(s) - one_hot(y, s.shape[1])) / len(s)


def hinge(s: Float[Array, "B K"], y: Int[Labels, "B"], margin: float = 1.0) -> float:
    """L = Σ over the wrong classes of max(0, s_wrong − s_true + margin), the mean over the batch.

    Source: Weston & Watkins (1999), Support vector machines for multi-class pattern recognition.

    Example:
        >>> s = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
        >>> round(hinge(s, np.array([0, 1, 2])), 2)
        5.27
    """
    return float(np.maximum(violations(s, y, margin), 0).sum() / len(s))


def hinge_bp(
    p: float, s: Float[Array, "B K"], y: Int[Labels, "B"], margin: float = 1.0
) -> Float[Array, "B K"]:
    """δ: 1 for each wrong class that comes too near, minus their count for the true class.

    Example:
        >>> s = np.array([[2.2, 2.5, -3.1]])
        >>> hinge_bp(1.0, s, np.array([2]))
        array([[ 1.,  1., -2.]])
    """
    wrong = (violations(s, y, margin) > 0).astype(np.float64)  # B K
    counts = wrong.sum(axis=1, keepdims=True)  # B 1
    return p * (wrong - counts * one_hot(y, s.shape[1])) / len(s)


def violations(s: Float[Array, "B K"], y: Int[Labels, "B"], margin: float) -> Float[Array, "B K"]:
    """s − s_true + margin for the wrong classes; 0 for the true one, which never pays."""
    truth = one_hot(y, s.shape[1])  # B K
    s_true = (s * truth).sum(axis=1, keepdims=True)  # B 1
    return (s - s_true + margin) * (1 - truth)
