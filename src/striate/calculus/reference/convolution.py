"""Convolution and the four equations of its backpropagation.

With X the windows of the input x (b item, g group, c channel, o position of the output, f position
in the kernel), a convolution is one product of three things, and each of its gradients
leaves another one of the three out:

    y[b,g,m,o]   = Σ_cf  W[g,m,c,f] · X[b,g,c,o,f] + b[g,m]
    dX[b,g,c,o,f] = Σ_m  W[g,m,c,f] · p[b,g,m,o]
    dW[g,m,c,f]  = Σ_bo  p[b,g,m,o] · X[b,g,c,o,f]

p is the gradient of the loss by y, the δ of the textbooks. The four equations are then

    1. δ at the last layer      δ = ∂L/∂s, the gradient of the loss by the scores (`loss.py`)
    2. δ through a layer        dx = transposed convolution of δ with the kernel W
    3. gradient of the kernel   dW = convolution of δ with the layer's input x
    4. gradient of the bias     db = sum of δ over the batch and all positions

As everywhere in deep learning the kernel is not mirrored: strictly this is a correlation.
Groups are convolutions side by side: group g sees its own C/G channels and makes its own M/G
maps (AlexNet's two towers are G = 2).

Source: LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document
recognition, section II; the chain rule as a product with the transposed Jacobian.
"""

# mypy: disable-error-code=no-any-return
# (numpy's stubs call a reduction or an indexing Any)

from typing import Any

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array, PerAxis
from striate.calculus.reference.linear import spread, spread_bp
from striate.calculus.reference.window import output_size, windows, windows_bp
from striate.errors import ShapeError

__all__ = [
    "convolution",
    "convolution_bp",
    "kernel_gradient",
    "transposed_convolution",
    "transposed_convolution_bp",
]


def split(x: Float[Array, "..."], groups: int, axis: int) -> Float[Array, "..."]:
    """An array with an axis for the groups in front of its own."""
    before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    if size % groups:
        raise ShapeError(f"{size} channels cannot be divided among {groups} groups.")
    return x.reshape(*before, groups, size // groups, *after)


def kernels(W: Float[Array, "M c *F"], groups: int) -> Float[Array, "G m c f"]:
    """The kernels by group, each kernel's spatial axes flattened into one."""
    return split(W.reshape(*W.shape[:2], -1), groups, axis=0)


def convolution(
    x: Float[Array, "B C *S"],
    W: Float[Array, "M c *F"],
    b: Float[Array, "M"],
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Float[Array, "B M *O"]:
    """y = W ∗ x + b: every window of x multiplied with every kernel.

    Args:
        x: Input with 1, 2 or 3 spatial axes.
        W: M kernels, each for the c = C/groups channels of its group.
        b: One bias per kernel.
        stride: Step of the window along each axis.
        padding: Zeros added on both sides of each axis.
        dilation: Distance between two neighbours in the kernel.
        groups: Number of convolutions side by side.

    Raises:
        ShapeError: channels and groups do not fit, or the kernel is larger than the input.

    Example:
        >>> x, W = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[-1.0, 1.0]]])
        >>> convolution(x, W, np.array([0.5]))
        array([[[1.5, 2.5, 4.5]]])
    """
    size, window = x.shape[2:], W.shape[2:]
    stops = output_size(size, window, stride, padding, dilation)
    X = split(windows(x, window, stride, padding, dilation), groups, axis=1)  # B G c O F
    K = kernels(W, groups)  # G M/G c F
    y = np.einsum("gmcf,bgcof->bgmo", K, X, optimize=True)
    y = y.reshape(len(x), len(W), *stops)
    return y + spread(b, y.shape)


def convolution_bp(
    p: Float[Array, "B M *O"],
    x: Float[Array, "B C *S"],
    W: Float[Array, "M c *F"],
    b: Float[Array, "M"],
    **geometry: Any,
) -> tuple[Float[Array, "B C *S"], Float[Array, "M c *F"], Float[Array, "M"]]:
    """The gradients by x, W and b: equations 2, 3 and 4.

    Args:
        p: Gradient by the convolution's output.
        x: The convolution's input.
        W: Its kernels.
        b: Its biases.
        geometry: Stride, padding, dilation and groups, as `convolution` takes them.

    Example:
        >>> x, W = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[-1.0, 1.0]]])
        >>> p = np.array([[[1.0, 0.0, 3.0]]])
        >>> for gradient in convolution_bp(p, x, W, np.array([0.5])):
        ...     print(gradient)
        [[[-1.  1. -3.  3.]]]
        [[[13. 26.]]]
        [4.]
    """
    dx = transposed_convolution(p, W, x.shape[2:], **geometry)
    dW = kernel_gradient(p, x, W.shape[2:], **geometry)
    return dx, dW, spread_bp(p)


def transposed_convolution(
    p: Float[Array, "B M *O"],
    W: Float[Array, "M c *F"],
    size: tuple[int, ...],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Float[Array, "B C *S"]:
    """Equation 2, dx = Wᵀ ∗ p: each δ sends its kernel back to the window it came from.

    The way back of `convolution`, and a layer of its own ("deconvolution") that makes small
    maps larger.

    Args:
        p: Gradient by the convolution's output, or the input of the layer.
        W: The kernels of the convolution.
        size: Spatial size *S of the convolution's input, which is the output here.
        stride: Stride of `convolution`; padding, dilation and groups too are those of it.
        padding: Zeros that the convolution adds; their gradients are cut off here.
        dilation: Distance between two neighbours in the kernel.
        groups: Number of convolutions side by side.

    Source: Zeiler, Krishnan, Taylor & Fergus (2010), Deconvolutional networks.

    Example:
        >>> p, W = np.array([[[1.0, 0.0, 3.0]]]), np.array([[[-1.0, 1.0]]])
        >>> transposed_convolution(p, W, size=(4,))
        array([[[-1.,  1., -3.,  3.]]])
    """
    B, C = len(p), W.shape[1] * groups
    P = split(p.reshape(*p.shape[:2], -1), groups, axis=1)  # B G M/G O
    dX = np.einsum("gmcf,bgmo->bgcof", kernels(W, groups), P, optimize=True)
    dX = dX.reshape(B, C, *dX.shape[3:])  # B C O F
    return windows_bp(dX, np.empty((B, C, *size)), W.shape[2:], stride, padding, dilation)


def kernel_gradient(
    p: Float[Array, "B M *O"],
    x: Float[Array, "B C *S"],
    window: tuple[int, ...],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Float[Array, "M c *F"]:
    """Equation 3, dW = p ∗ x: the input's windows, each weighted with its δ, added up.

    Args:
        p: Gradient by the convolution's output.
        x: The convolution's input.
        window: Spatial size *F of the kernel.
        stride: Stride of `convolution`; padding, dilation and groups too are those of it.
        padding: Zeros added on both sides of each axis.
        dilation: Distance between two neighbours in the kernel.
        groups: Number of convolutions side by side.

    Example:
        >>> p, x = np.array([[[1.0, 0.0, 3.0]]]), np.array([[[1.0, 2.0, 4.0, 8.0]]])
        >>> kernel_gradient(p, x, window=(2,))
        array([[[13., 26.]]])
    """
    P = split(p.reshape(*p.shape[:2], -1), groups, axis=1)  # B G M/G O
    X = split(windows(x, window, stride, padding, dilation), groups, axis=1)  # B G c O F
    dW = np.einsum("bgmo,bgcof->gmcf", P, X, optimize=True)
    return dW.reshape(p.shape[1], -1, *window)


def transposed_convolution_bp(
    q: Float[Array, "B C *S"],
    p: Float[Array, "B M *O"],
    W: Float[Array, "M c *F"],
    size: tuple[int, ...],
    **geometry: Any,
) -> tuple[Float[Array, "B M *O"], Float[Array, "M c *F"]]:
    """The gradients by p and W: transposing twice gives the convolution back.

    Args:
        q: Gradient by the transposed convolution's output.
        p: Its input.
        W: Its kernels.
        size: Spatial size *S of its output.
        geometry: Stride, padding, dilation and groups, as `transposed_convolution` takes them.

    Example:
        >>> q, W = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[-1.0, 1.0]]])
        >>> dp, dW = transposed_convolution_bp(q, np.array([[[1.0, 0.0, 3.0]]]), W, size=(4,))
        >>> dp, dW
        (array([[[1., 2., 4.]]]), array([[[13., 26.]]]))
    """
    dp = convolution(q, W, np.zeros(len(W)), **geometry)
    return dp, kernel_gradient(p, q, W.shape[2:], **geometry)
