"""The fully connected layer, and the two small pairs that many others lean on."""

# mypy: disable-error-code=no-any-return
# (numpy's stubs call a reduction or an indexing Any)

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array

__all__ = ["fully_connected", "fully_connected_bp", "spread", "spread_bp"]


def fully_connected(
    x: Float[Array, "B C"], W: Float[Array, "K C"], b: Float[Array, "K"]
) -> Float[Array, "B K"]:
    """y = Wx + b for each row x of the batch.

    Source: Rumelhart, Hinton & Williams (1986), equation 1.

    Example:
        >>> fully_connected(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([5.0]))
        array([[16.]])
    """
    return x @ W.T + b


def fully_connected_bp(
    p: Float[Array, "B K"], x: Float[Array, "B C"], W: Float[Array, "K C"], b: Float[Array, "K"]
) -> tuple[Float[Array, "B C"], Float[Array, "K C"], Float[Array, "K"]]:
    """The gradients by x, W and b:  Wᵀp,  Σ_B p xᵀ  and  Σ_B p.

    Source: Rumelhart, Hinton & Williams (1986), equations 6 and 7.

    Example:
        >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([5.0])
        >>> dx, dW, db = fully_connected_bp(np.array([[10.0]]), x, W, b)
        >>> dx, dW, db
        (array([[30., 40.]]), array([[10., 20.]]), array([10.]))
    """
    dx = p @ W  # B C
    dW = p.T @ x  # K C
    db = p.sum(axis=0)  # K
    return dx, dW, db


def spread(b: Float[Array, "C"], shape: tuple[int, ...]) -> Float[Array, "B C *S"]:
    """The array of shape B C *S that holds b[c] everywhere in channel c.

    Example:
        >>> spread(np.array([7.0, 8.0]), (1, 2, 3))
        array([[[7., 7., 7.],
                [8., 8., 8.]]])
    """
    num_spatial = len(shape) - 2
    return np.broadcast_to(b.reshape(-1, *(1,) * num_spatial), shape)


def spread_bp(p: Float[Array, "B C *S"]) -> Float[Array, "C"]:
    """The gradient by b: each b[c] is used at many positions, so the gradients of all of them add.

    Example:
        >>> spread_bp(np.array([[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]]))
        array([ 6., 60.])
    """
    return p.sum(axis=(0, *range(2, p.ndim)))
