"""Muon: momentum whose matrix is made orthogonal before the step; AdamW for what is no matrix."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from striate.optim.group import Parameters, as_groups, check_numbers

_Method = TypeVar("_Method", bound=Callable[..., Any])

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""(a, b, c) of p(σ) = aσ + bσ³ + cσ⁵: steepest at 0 among those that keep [0.7, 1.2] in reach."""

_ITERATIONS_TOGETHER = 3
"""More would lose the small singular values, whose squares the small matrices hold."""

RMS_OF_ADAMW = 0.2
"""Root mean square of a usual AdamW step divided by its rate (Liu et al., 2025, section 2.2)."""


def _direct(method: _Method) -> _Method:
    """A method of torch's optimisers without what keeps torch's compiler out of it.

    That imports the compiler, which takes a second: much of a short training.
    """
    return getattr(method, "__wrapped__", method)


class Muon(Optimizer):
    """Muon for kernels and hidden matrices, AdamW for the output layer, biases and norms.

    A kernel is the matrix (C_out, C_in · ∏kernel). Its step O is scaled by 0.2 √max(rows,
    columns), which gives it the size of an AdamW step: one rate and one weight decay serve both
    parts, and those tuned for AdamW carry over. torch.optim.Muon takes matrices only and computes
    in bfloat16; here the products are in the parameter's own type.

    The output layer is taken to be the last parameter of two axes or more, in their order.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate η of both parts.
        momentum: μ in [0, 1).
        nesterov: Step along (1 − μ) g + μ m rather than along m.
        num_iterations: Newton–Schulz iterations.
        orthogonalise_last: Treat the output layer as a hidden matrix.
        betas: Decays of AdamW's two means.
        eps: Added to AdamW's root.
        weight_decay: λ, decoupled, of both parts.

    Raises:
        ConfigError: a number out of its range.

    Source: Jordan et al., "Muon: An Optimizer for Hidden Layers in Neural Networks", 2024; the
    scale: Liu et al., "Muon is Scalable for LLM Training", 2025, equation 4.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 0.002,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        num_iterations: int = 5,
        orthogonalise_last: bool = False,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        check_numbers(lr, weight_decay, momentum=momentum, betas=betas)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "num_iterations": num_iterations,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(_split(as_groups(params), orthogonalise_last), defaults)

    add_param_group = _direct(Optimizer.add_param_group)
    state_dict = _direct(Optimizer.state_dict)
    load_state_dict = _direct(Optimizer.load_state_dict)
    zero_grad = _direct(Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; the loss is returned when a closure computes it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rule = _muon_step if group["orthogonalised"] else _adamw_step
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    rule(parameter, parameter.grad, self.state[parameter], group)
        return loss


def orthogonalise(
    matrix: Float[Tensor, "rows columns"], num_iterations: int = 5
) -> Float[Tensor, "rows columns"]:
    """About U Vᵀ of the matrix U S Vᵀ: each singular value is brought to between 0.7 and 1.2.

    Args:
        matrix: Any matrix; a zero matrix stays zero.
        num_iterations: Newton–Schulz iterations; 5 serve unless the matrix is very ill
            conditioned.

    Source: Jordan et al., "Muon", 2024 (quintic Newton–Schulz iteration).

    Example:
        >>> values = torch.linalg.svdvals(orthogonalise(torch.diag(torch.tensor([9.0, 1.0]))))
        >>> bool((values > 0.6).all() and (values < 1.3).all())
        True
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / x.norm().clamp(min=1e-7)  # the Frobenius norm bounds the largest singular value
    left = num_iterations
    while left > 0:
        # x ← (aI + bG + cG²) x with G = x xᵀ: the polynomials commute with G, so that several
        # iterations are products of small square matrices, applied to x once.
        gram = x @ x.T
        together = min(left, _ITERATIONS_TOGETHER)
        product = factor = _polynomial(gram, a, b, c)
        for _ in range(together - 1):
            gram = factor @ (gram @ factor)
            factor = _polynomial(gram, a, b, c)
            product = factor @ product
        x = product @ x
        left -= together
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


def _polynomial(gram: Tensor, a: float, b: float, c: float) -> Tensor:
    """aI + bG + cG²."""
    result = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    result.diagonal().add_(a)
    return result


def _split(groups: list[dict[str, Any]], with_last: bool) -> list[dict[str, Any]]:
    """Each group in two: what is orthogonalised, and the rest."""
    matrices = [p for group in groups for p in group["params"] if p.ndim >= 2]
    hidden = {id(p) for p in (matrices if with_last else matrices[:-1])}
    split = [
        {
            **group,
            "params": [p for p in group["params"] if (id(p) in hidden) == orthogonalised],
            "orthogonalised": orthogonalised,
        }
        for group in groups
        for orthogonalised in (True, False)
    ]
    return [group for group in split if group["params"]]


def _muon_step(
    parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
) -> None:
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    mean, mu = state["momentum"], group["momentum"]
    mean.lerp_(gradient, 1 - mu)
    direction = gradient.lerp(mean, mu) if group["nesterov"] else mean
    step = orthogonalise(direction.flatten(1), group["num_iterations"])
    scale = RMS_OF_ADAMW * math.sqrt(max(step.shape))
    parameter.add_(step.reshape(parameter.shape), alpha=-group["lr"] * scale)


def _adamw_step(
    parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
) -> None:
    if not state:
        state["step"] = torch.tensor(0.0)
        state["mean"] = torch.zeros_like(parameter)
        state["square"] = torch.zeros_like(parameter)
    beta1, beta2 = group["betas"]
    state["step"] += 1
    step = state["step"].item()
    state["mean"].lerp_(gradient, 1 - beta1)
    state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = (state["square"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
    parameter.addcdiv_(state["mean"], root, value=-group["lr"] / (1 - beta1**step))
