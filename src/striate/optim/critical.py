"""The kinds of critical points, by the eigenvalues of the Hessian.

Small problems: all eigenvalues. Large ones: the two ends of the spectrum by Lanczos iteration
on Hessian-vector products; the matrix is never formed. The two ends decide: a minimum has its
smallest eigenvalue above 0, a maximum its largest below, a saddle has both signs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError, ShapeError
from striate.optim.minimise import Function, hessian
from striate.randomness import generator

Kind = Literal["minimum", "maximum", "saddle", "degenerate", "not critical"]


@dataclass(frozen=True)
class CriticalPoint:
    """The kind of a point, by its gradient and the eigenvalues of the Hessian there."""

    kind: Kind
    """"degenerate": one end of the spectrum is 0 within the tolerance, the other of one sign,
    so that second derivatives do not decide."""
    eigenvalues: tuple[float, ...]
    """All of them, ascending; of a large problem those at both ends."""
    gradient_norm: float


def critical_point(
    function: Function,
    point: Float[Tensor, "N"],
    *,
    tolerance: float = 1e-6,
    gradient_tolerance: float = 1e-4,
) -> CriticalPoint:
    """The kind of a point, from all eigenvalues of the Hessian (N×N is formed).

    Args:
        function: Function of a vector (N,), twice differentiable.
        point: Point, (N,).
        tolerance: Eigenvalues this small against the largest count as 0.
        gradient_tolerance: With a larger ‖∇f‖ the point is "not critical".

    Example:
        >>> point = torch.zeros(2, dtype=torch.float64)
        >>> critical = critical_point(lambda x: x[0] ** 2 - 3 * x[1] ** 2, point)
        >>> critical.kind, critical.eigenvalues
        ('saddle', (-6.0, 2.0))
    """
    gradient = torch.func.grad(function)(point)
    eigenvalues = torch.linalg.eigvalsh(hessian(function, point))
    norm = float(gradient.norm())
    return _classified(eigenvalues.tolist(), norm, tolerance, gradient_tolerance)


def hessian_vector_product(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor]
) -> tuple[Float[Tensor, "N"], Callable[[Tensor], Tensor]]:
    """The gradient ∇L, flat, and the function v ↦ H v (the gradient of ⟨∇L, v⟩).

    Args:
        loss: Computes L from the parameters; called once.
        parameters: Those that L is differentiated by; N numbers in all.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> gradient, product = hessian_vector_product(lambda: x[0] ** 2 * x[1], [x])
        >>> gradient.tolist(), product(torch.tensor([1.0, 0.0])).tolist()
        ([4.0, 1.0], [4.0, 2.0])
    """
    tensors = list(parameters)
    gradients = torch.autograd.grad(
        loss(), tensors, create_graph=True, allow_unused=True, materialize_grads=True
    )
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])

    def product(vector: Tensor) -> Tensor:
        if vector.shape != flat.shape:
            raise ShapeError(
                f"The vector has shape {tuple(vector.shape)}; the Hessian takes ({flat.numel()},)."
            )
        if not flat.requires_grad:
            return torch.zeros_like(flat)
        products = torch.autograd.grad(
            flat @ vector, tensors, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([item.reshape(-1) for item in products])

    return flat.detach(), product


def network_critical_point(
    loss: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    *,
    num_eigenvalues: int = 6,
    tolerance: float = 1e-4,
    gradient_tolerance: float = 1e-3,
) -> CriticalPoint:
    """The kind of point of a network's parameters, without forming the Hessian.

    Args:
        loss: Computes L from the parameters, deterministically (no dropout).
        parameters: N numbers in all.
        num_eigenvalues: Number of eigenvalues, half of them at each end; less than N.
        tolerance: Eigenvalues this small against the largest count as 0.
        gradient_tolerance: With a larger ‖∇L‖ the point is "not critical".

    Raises:
        ConfigError: fewer than 2 eigenvalues, or not fewer than N.

    Example:
        >>> x = torch.zeros(50, dtype=torch.float64, requires_grad=True)
        >>> slopes = torch.linspace(-2, 3, 50, dtype=torch.float64)
        >>> point = network_critical_point(lambda: (slopes * x**2).sum(), [x], num_eigenvalues=2)
        >>> point.kind, [round(value, 6) for value in point.eigenvalues]
        ('saddle', [-4.0, 6.0])
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    gradient, product = hessian_vector_product(loss, parameters)
    size = gradient.numel()
    if not 2 <= num_eigenvalues < size:
        raise ConfigError(
            f"num_eigenvalues={num_eigenvalues} must lie in 2 … {size - 1} for {size} parameters; "
            "for very small problems take critical_point."
        )

    def multiply(vector: np.ndarray) -> np.ndarray:
        result = product(torch.from_numpy(vector.reshape(-1).copy()).to(gradient))
        return result.double().cpu().numpy()

    operator = LinearOperator((size, size), matvec=multiply, dtype=np.float64)
    # A fixed first vector: the same Hessian gives the same numbers.
    start = torch.randn(size, generator=generator(0, "lanczos"), dtype=torch.float64).numpy()
    ends = eigsh(operator, k=num_eigenvalues, which="BE", v0=start, return_eigenvectors=False)
    return _classified(sorted(ends.tolist()), float(gradient.norm()), tolerance, gradient_tolerance)


def _classified(
    eigenvalues: list[float], gradient_norm: float, tolerance: float, gradient_tolerance: float
) -> CriticalPoint:
    smallest, largest = min(eigenvalues), max(eigenvalues)
    zero = tolerance * max(abs(smallest), abs(largest))
    kind: Kind = "saddle" if smallest < -zero and largest > zero else "degenerate"
    if not gradient_norm <= gradient_tolerance:
        kind = "not critical"
    elif smallest > zero or largest < -zero:
        kind = "minimum" if smallest > zero else "maximum"
    return CriticalPoint(kind, tuple(eigenvalues), gradient_norm)
