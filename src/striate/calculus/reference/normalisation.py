"""Normalisation: numbers divided by the strength of their company.

A number changes its own output and, through the company, that of others: the gradient has a
direct part and a part that comes back through the statistics.
"""

# mypy: disable-error-code=no-any-return
# (numpy's stubs call a reduction or an indexing Any)

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array
from striate.calculus.reference.linear import spread, spread_bp

__all__ = [
    "batch_normalisation",
    "batch_normalisation_bp",
    "local_response_normalisation",
    "local_response_normalisation_bp",
]


def neighbours(num_channels: int, n: int) -> Float[Array, "C C"]:
    """N[i, j] = 1 where channel j lies at most n/2 from channel i, else 0; symmetric."""
    channel = np.arange(num_channels)
    distance = np.abs(channel[:, None] - channel)  # C C
    return (distance <= n // 2).astype(np.float64)


def local_response_normalisation(
    x: Float[Array, "B C *S"], n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> Float[Array, "B C *S"]:
    """y = x d^−β  with  d = k + α Σ x² over the channel and its n/2 neighbours on each side.

    The constants are the paper's. α multiplies the sum; libraries that multiply the mean of n
    squares need n·α for the same numbers.

    Source: Krizhevsky, Sutskever & Hinton (2012), section 3.3.

    Example:
        >>> x = np.array([[[3.0], [4.0]]])
        >>> local_response_normalisation(x, n=3, k=0.0, alpha=1.0, beta=0.5)
        array([[[0.6],
                [0.8]]])
    """
    N = neighbours(x.shape[1], n)
    d = k + alpha * np.einsum("ij,bj...->bi...", N, x**2)  # B C *S
    return x * d**-beta


def local_response_normalisation_bp(
    p: Float[Array, "B C *S"],
    x: Float[Array, "B C *S"],
    n: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Float[Array, "B C *S"]:
    """dx = p d^−β − 2αβ x · Nᵀ(p x d^(−β−1)): the direct part, and the part through d.

    Example:
        >>> p, x = np.array([[[1.0], [0.0]]]), np.array([[[3.0], [4.0]]])
        >>> local_response_normalisation_bp(p, x, n=3, k=0.0, alpha=1.0, beta=0.5).round(4)
        array([[[ 0.128],
                [-0.096]]])
    """
    N = neighbours(x.shape[1], n)
    d = k + alpha * np.einsum("ij,bj...->bi...", N, x**2)  # B C *S
    dd = -beta * p * x * d ** (-beta - 1)  # the gradient by d
    dsquares = alpha * np.einsum("ij,bi...->bj...", N, dd)  # the gradient by x²
    return p * d**-beta + 2 * x * dsquares


def batch_normalisation(
    x: Float[Array, "B C *S"],
    gamma: Float[Array, "C"],
    beta: Float[Array, "C"],
    epsilon: float = 1e-5,
) -> Float[Array, "B C *S"]:
    """y = γ x̂ + β, where x̂ has mean 0 and variance 1 in each channel over batch and positions.

    Source: Ioffe & Szegedy (2015), algorithm 1 (training mode).

    Example:
        >>> x = np.array([[[1.0]], [[3.0]]])
        >>> batch_normalisation(x, np.array([10.0]), np.array([5.0]), epsilon=0.0).ravel()
        array([-5., 15.])
    """
    standard, _ = standardise(x, epsilon)
    return spread(gamma, x.shape) * standard + spread(beta, x.shape)


def batch_normalisation_bp(
    p: Float[Array, "B C *S"],
    x: Float[Array, "B C *S"],
    gamma: Float[Array, "C"],
    beta: Float[Array, "C"],
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "B C *S"], Float[Array, "C"], Float[Array, "C"]]:
    """The gradients by x, γ and β.

    With q = γp the gradient by x̂,  dx = (q − mean q − x̂ · mean(q x̂)) / σ: whatever would
    shift or stretch a channel as a whole is taken out again by the normalisation.

    Source: Ioffe & Szegedy (2015), section 3, the six derivatives collected into one.

    Example:
        >>> x, gamma, beta = np.array([[[1.0]], [[3.0]], [[8.0]]]), np.ones(1), np.zeros(1)
        >>> shift = np.full((3, 1, 1), 7.0)
        >>> dx, dgamma, dbeta = batch_normalisation_bp(shift, x, gamma, beta)
        >>> abs(dx).max() < 1e-12, dbeta
        (np.True_, array([21.]))
    """
    standard, deviation = standardise(x, epsilon)
    axes = (0, *range(2, x.ndim))
    q = spread(gamma, x.shape) * p  # B C *S
    shift = q.mean(axis=axes, keepdims=True)  # 1 C 1
    stretch = (q * standard).mean(axis=axes, keepdims=True)  # 1 C 1
    dx = (q - shift - standard * stretch) / deviation
    return dx, spread_bp(p * standard), spread_bp(p)


def standardise(
    x: Float[Array, "B C *S"], epsilon: float
) -> tuple[Float[Array, "B C *S"], Float[Array, "1 C ..."]]:
    """x̂ = (x − mean) / σ, and σ = √(variance + ε) with its axes kept."""
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=axes, keepdims=True) + epsilon)
    return centred / deviation, deviation
