"""Pooling: one number for each window, and the way its gradient goes back.

Average pooling deals the gradient out in equal parts, max pooling gives it whole to the
winner. Windows may overlap (AlexNet: 3 wide, 2 apart); a number in two windows then gets both
gradients, which `windows_bp` sees to.
"""

# mypy: disable-error-code=no-any-return
# (numpy's stubs call a reduction or an indexing Any)

import math

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array, PerAxis
from striate.calculus.reference.linear import spread, spread_bp
from striate.calculus.reference.window import output_size, windows, windows_bp

__all__ = [
    "average_pooling",
    "average_pooling_bp",
    "max_pooling",
    "max_pooling_bp",
    "subsampling",
    "subsampling_bp",
]


def average_pooling(
    x: Float[Array, "B C *S"], window: tuple[int, ...], stride: PerAxis, padding: PerAxis = 0
) -> Float[Array, "B C *O"]:
    """The mean of each window; zeros in the padding count.

    Example:
        >>> average_pooling(np.array([[[1.0, 3.0, 8.0, 2.0]]]), (2,), stride=2)
        array([[[2., 5.]]])
    """
    stops = output_size(x.shape[2:], window, stride, padding)
    y = windows(x, window, stride, padding).mean(axis=-1)  # B C O
    return y.reshape(*x.shape[:2], *stops)


def average_pooling_bp(
    p: Float[Array, "B C *O"],
    x: Float[Array, "B C *S"],
    window: tuple[int, ...],
    stride: PerAxis,
    padding: PerAxis = 0,
) -> Float[Array, "B C *S"]:
    """The gradient by x: each of the F numbers in a window gets p / F.

    Example:
        >>> x = np.array([[[1.0, 3.0, 8.0, 2.0]]])
        >>> average_pooling_bp(np.array([[[10.0, 20.0]]]), x, (2,), stride=2)
        array([[[ 5.,  5., 10., 10.]]])
    """
    F = math.prod(window)
    share = p.reshape(*p.shape[:2], -1, 1) / F  # B C O 1
    dX = np.repeat(share, F, axis=-1)  # B C O F
    return windows_bp(dX, x, window, stride, padding)


def max_pooling(
    x: Float[Array, "B C *S"], window: tuple[int, ...], stride: PerAxis, padding: PerAxis = 0
) -> Float[Array, "B C *O"]:
    """The largest number of each window; the padding never wins.

    Source: Krizhevsky, Sutskever & Hinton (2012), section 3.4 (overlapping windows).

    Example:
        >>> max_pooling(np.array([[[1.0, 3.0, 8.0, 2.0, 4.0]]]), (3,), stride=2)
        array([[[8., 8.]]])
    """
    stops = output_size(x.shape[2:], window, stride, padding)
    y = windows(x, window, stride, padding, fill=-np.inf).max(axis=-1)  # B C O
    return y.reshape(*x.shape[:2], *stops)


def max_pooling_bp(
    p: Float[Array, "B C *O"],
    x: Float[Array, "B C *S"],
    window: tuple[int, ...],
    stride: PerAxis,
    padding: PerAxis = 0,
) -> Float[Array, "B C *S"]:
    """The gradient by x: p goes to the winner of each window, to the first of equals.

    Example:
        >>> x = np.array([[[1.0, 3.0, 8.0, 2.0, 4.0]]])
        >>> max_pooling_bp(np.array([[[10.0, 20.0]]]), x, (3,), stride=2)
        array([[[ 0.,  0., 30.,  0.,  0.]]])
    """
    F = math.prod(window)
    winner = windows(x, window, stride, padding, fill=-np.inf).argmax(axis=-1)  # B C O
    is_winner = np.eye(F)[winner]  # B C O F
    dX = is_winner * p.reshape(*p.shape[:2], -1, 1)
    return windows_bp(dX, x, window, stride, padding)


def subsampling(
    x: Float[Array, "B C *S"],
    w: Float[Array, "C"],
    b: Float[Array, "C"],
    *,
    window: tuple[int, ...],
    stride: PerAxis,
) -> Float[Array, "B C *O"]:
    """LeNet's pooling: the sum of each window, times one weight per channel, plus a bias.

    Source: LeCun, Bottou, Bengio & Haffner (1998), section II.B, layer S2.

    Example:
        >>> x, w, b = np.array([[[1.0, 3.0, 8.0, 2.0]]]), np.array([0.5]), np.array([1.0])
        >>> subsampling(x, w, b, window=(2,), stride=2)
        array([[[3., 6.]]])
    """
    total = average_pooling(x, window, stride) * math.prod(window)  # B C *O
    return spread(w, total.shape) * total + spread(b, total.shape)


def subsampling_bp(
    p: Float[Array, "B C *O"],
    x: Float[Array, "B C *S"],
    w: Float[Array, "C"],
    b: Float[Array, "C"],
    *,
    window: tuple[int, ...],
    stride: PerAxis,
) -> tuple[Float[Array, "B C *S"], Float[Array, "C"], Float[Array, "C"]]:
    """The gradients by x, w and b.

    Example:
        >>> x, w, b = np.array([[[1.0, 3.0, 8.0, 2.0]]]), np.array([0.5]), np.array([1.0])
        >>> p = np.array([[[10.0, 20.0]]])
        >>> for gradient in subsampling_bp(p, x, w, b, window=(2,), stride=2):
        ...     print(gradient)
        [[[ 5.  5. 10. 10.]]]
        [240.]
        [30.]
    """
    F = math.prod(window)
    total = average_pooling(x, window, stride) * F  # B C *O
    dx = average_pooling_bp(spread(w, p.shape) * p * F, x, window, stride)
    dw = spread_bp(p * total)
    db = spread_bp(p)
    return dx, dw, db
