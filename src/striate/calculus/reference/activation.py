"""Activations and dropout: each number by itself, so Jᵀ is diagonal and Jᵀp is a product."""

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array

__all__ = ["dropout", "dropout_bp", "relu", "relu_bp", "sigmoid", "sigmoid_bp", "tanh", "tanh_bp"]


def tanh(x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """y = tanh x.

    Source: LeCun, Bottou, Bengio & Haffner (1998), appendix A (there scaled to 1.7159 tanh ⅔x).

    Example:
        >>> tanh(np.array([0.0, 1.0])).round(4)
        array([0.    , 0.7616])
    """
    return np.tanh(x)


def tanh_bp(p: Float[Array, "*S"], x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """p (1 − y²).

    Example:
        >>> tanh_bp(np.array([2.0, 2.0]), np.array([0.0, 1.0])).round(4)
        array([2.    , 0.8399])
    """
    y = tanh(x)
    return p * (1 - y**2)


def sigmoid(x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """y = 1 / (1 + e⁻ˣ), written with tanh so that no exponential overflows.

    Source: Rumelhart, Hinton & Williams (1986), equation 2.

    Example:
        >>> sigmoid(np.array([0.0, -1000.0]))
        array([0.5, 0. ])
    """
    return (1 + np.tanh(x / 2)) / 2


def sigmoid_bp(p: Float[Array, "*S"], x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """p y (1 − y).

    Example:
        >>> sigmoid_bp(np.array([2.0]), np.array([0.0]))
        array([0.5])
    """
    y = sigmoid(x)
    return p * y * (1 - y)


def relu(x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """y = max(x, 0).

    Source: Krizhevsky, Sutskever & Hinton (2012), section 3.1.

    Example:
        >>> relu(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """
    return np.maximum(x, 0)


def relu_bp(p: Float[Array, "*S"], x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """p where x > 0; nothing elsewhere (at the kink, x = 0, the slope is taken as 0).

    Example:
        >>> relu_bp(np.array([5.0, 6.0, 7.0]), np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 7.])
    """
    return p * (x > 0)


def dropout(x: Float[Array, "*S"], mask: Float[Array, "*S"], rate: float) -> Float[Array, "*S"]:
    """y = mask · x / (1 − rate): what is kept is enlarged, so that the mean stays.

    Args:
        x: Any array.
        mask: 1 where a number is kept, 0 where it is dropped.
        rate: The probability of being dropped, 0 ≤ rate < 1.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), section 10;
    AlexNet halves the weights at test time instead.

    Example:
        >>> dropout(np.array([1.0, 2.0]), mask=np.array([0.0, 1.0]), rate=0.5)
        array([0., 4.])
    """
    return mask * x / (1 - rate)


def dropout_bp(
    p: Float[Array, "*S"], x: Float[Array, "*S"], mask: Float[Array, "*S"], rate: float
) -> Float[Array, "*S"]:
    """The gradient by x: dropped on the way there, dropped on the way back.

    Example:
        >>> dropout_bp(np.array([3.0, 5.0]), np.array([1.0, 2.0]), np.array([0.0, 1.0]), 0.5)
        array([ 0., 10.])
    """
    return mask * p / (1 - rate)
