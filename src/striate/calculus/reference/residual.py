"""A residual block: y = relu(F(x) + shortcut(x)), with F two convolutions with normalisation.

Addition hands its gradient to both branches unchanged, and where x branched, the gradients of
the branches add: that is how δ reaches the first layer of a network with a hundred of them.

Source: He, Zhang, Ren & Sun (2016), Deep residual learning for image recognition, figure 2.
"""

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.activation import relu, relu_bp
from striate.calculus.reference.array import Array
from striate.calculus.reference.convolution import convolution, convolution_bp
from striate.calculus.reference.normalisation import batch_normalisation, batch_normalisation_bp

__all__ = [
    "addition",
    "addition_bp",
    "residual_block",
    "residual_block_bp",
    "shortcut_a",
    "shortcut_a_bp",
]


def addition(x: Float[Array, "*S"], z: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """y = x + z.

    Example:
        >>> addition(np.array([1.0]), np.array([2.0]))
        array([3.])
    """
    return x + z


def addition_bp(
    p: Float[Array, "*S"], x: Float[Array, "*S"], z: Float[Array, "*S"]
) -> tuple[Float[Array, "*S"], Float[Array, "*S"]]:
    """The gradients by x and z: p and p.

    Example:
        >>> addition_bp(np.array([7.0]), np.array([1.0]), np.array([2.0]))
        (array([7.]), array([7.]))
    """
    return p, p


def shortcut_a(x: Float[Array, "B C *S"], num_maps: int, stride: int) -> Float[Array, "B M *O"]:
    """The shortcut without parameters: every stride-th position, then channels of zeros.

    Source: He, Zhang, Ren & Sun (2016), section 3.3, option A.

    Example:
        >>> shortcut_a(np.array([[[1.0, 2.0, 3.0]]]), num_maps=2, stride=2)
        array([[[1., 3.],
                [0., 0.]]])
    """
    kept = x[:, :, *every(stride, x)]  # B C *O
    y = np.zeros((len(x), num_maps, *kept.shape[2:]))
    y[:, : x.shape[1]] = kept
    return y


def shortcut_a_bp(
    p: Float[Array, "B M *O"], x: Float[Array, "B C *S"], num_maps: int, stride: int
) -> Float[Array, "B C *S"]:
    """The gradient by x: p at the positions that were kept, 0 at those that were left out.

    Example:
        >>> x, p = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[5.0, 6.0], [7.0, 8.0]]])
        >>> shortcut_a_bp(p, x, num_maps=2, stride=2)
        array([[[5., 0., 6.]]])
    """
    dx = np.zeros_like(x)
    dx[:, :, *every(stride, x)] = p[:, : x.shape[1]]
    return dx


def every(stride: int, x: Float[Array, "B C *S"]) -> tuple[slice, ...]:
    """The slices that take every stride-th position along each spatial axis."""
    return (slice(None, None, stride),) * (x.ndim - 2)


def residual_block(
    x: Float[Array, "B C *S"],
    W1: Float[Array, "M C *F"],
    gamma1: Float[Array, "M"],
    beta1: Float[Array, "M"],
    W2: Float[Array, "M M *F"],
    gamma2: Float[Array, "M"],
    beta2: Float[Array, "M"],
    stride: int = 1,
) -> Float[Array, "B M *O"]:
    """y = relu(normalise(W2 ∗ relu(normalise(W1 ∗ x))) + shortcut(x)).

    Args:
        x: Input.
        W1: Kernels of the first convolution (odd size; padded so that stride alone shrinks).
        gamma1: Scale of the first normalisation.
        beta1: Shift of the first normalisation.
        W2: Kernels of the second convolution.
        gamma2: Scale of the second normalisation.
        beta2: Shift of the second normalisation.
        stride: Step of the first convolution and of the shortcut.

    Source: He, Zhang, Ren & Sun (2016), equations 1 and 2.

    Example:
        >>> x, W, one, zero = np.array([[[1.0, 3.0]]]), np.zeros((1, 1, 3)), np.ones(1), np.zeros(1)
        >>> residual_block(x, W, one, zero, W, one, zero)  # F(x) = 0: the block is the identity
        array([[[1., 3.]]])
    """
    return residual_values(x, W1, gamma1, beta1, W2, gamma2, beta2, stride=stride)[-1]


def residual_values(x: Array, *weights: Array, stride: int) -> tuple[Array, ...]:
    """All values on the way from x to y, in order, each of shape B M *O."""
    W1, gamma1, beta1, W2, gamma2, beta2 = weights
    none = np.zeros(len(W1))  # the normalisation takes any bias out again
    same = tuple(f // 2 for f in W1.shape[2:])
    c1 = convolution(x, W1, none, stride=stride, padding=same)
    n1 = batch_normalisation(c1, gamma1, beta1)
    h1 = relu(n1)
    c2 = convolution(h1, W2, none, padding=same)
    n2 = batch_normalisation(c2, gamma2, beta2)
    z = addition(n2, shortcut_a(x, len(W1), stride))
    return c1, n1, h1, c2, n2, z, relu(z)


def residual_block_bp(
    p: Float[Array, "B M *O"], x: Float[Array, "B C *S"], *weights: Array, stride: int = 1
) -> tuple[Array, ...]:
    """The gradients by x, W1, γ1, β1, W2, γ2 and β2: the lines of the block from last to first.

    Args:
        p: Gradient by y.
        x: Input of the block.
        weights: W1, γ1, β1, W2, γ2 and β2, as the block takes them.
        stride: Stride of the block.

    Example:
        >>> x, W, one, zero = np.array([[[1.0, 3.0]]]), np.zeros((1, 1, 3)), np.ones(1), np.zeros(1)
        >>> dx, *_ = residual_block_bp(np.array([[[5.0, 6.0]]]), x, W, one, zero, W, one, zero)
        >>> dx
        array([[[5., 6.]]])
    """
    W1, gamma1, beta1, W2, gamma2, beta2 = weights
    none = np.zeros(len(W1))
    same = tuple(f // 2 for f in W1.shape[2:])
    c1, n1, h1, c2, n2, z, _ = residual_values(x, *weights, stride=stride)
    dz = relu_bp(p, z)
    dn2, dshortcut = addition_bp(dz, n2, z)
    dc2, dgamma2, dbeta2 = batch_normalisation_bp(dn2, c2, gamma2, beta2)
    dh1, dW2, _ = convolution_bp(dc2, h1, W2, none, padding=same)
    dn1 = relu_bp(dh1, n1)
    dc1, dgamma1, dbeta1 = batch_normalisation_bp(dn1, c1, gamma1, beta1)
    dx, dW1, _ = convolution_bp(dc1, x, W1, none, stride=stride, padding=same)
    dx = dx + shortcut_a_bp(dshortcut, x, len(W1), stride)  # x was used twice
    return dx, dW1, dgamma1, dbeta1, dW2, dgamma2, dbeta2
