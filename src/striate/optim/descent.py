"""The optimisers that torch.optim has, under the field's names and with defaults for images.

Nothing is written again here: each constructor checks the numbers, names the source and
chooses the fastest kernel that is exact. Weight decay of SGD, momentum, AdaGrad,
Adadelta, RMSprop and Adam is added to the gradient (L2); that of AdamW and NAdam is decoupled.
A group's own "lr" or "weight_decay" stands above the argument of the same name.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from striate.errors import ConfigError
from striate.optim.layout import can_fuse, fused_safely

__all__ = [
    "Parameters",
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "as_groups",
    "check_numbers",
    "gradient_descent",
    "momentum",
    "nadam",
    "rmsprop",
    "sgd",
]

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
"""Tensors, or groups such as `parameter_groups` gives."""


def gradient_descent(
    params: Parameters, lr: float = 0.1, *, weight_decay: float = 0.0
) -> Optimizer:
    """Gradient descent without momentum: θ ← θ − η g.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Cauchy, 1847; with random batches: Robbins and Monro, 1951.
    """
    return sgd(params, lr, momentum=0.0, nesterov=False, weight_decay=weight_decay)


def momentum(
    params: Parameters, lr: float = 0.1, *, momentum: float = 0.9, weight_decay: float = 0.0
) -> Optimizer:
    """Gradient descent with momentum (heavy ball): v ← μ v + g, θ ← θ − η v.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        momentum: μ in [0, 1).
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Polyak, "Some Methods of Speeding Up the Convergence of Iteration Methods", 1964.
    """
    return sgd(params, lr, momentum=momentum, nesterov=False, weight_decay=weight_decay)


def sgd(
    params: Parameters,
    lr: float = 0.1,
    *,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Stochastic gradient descent with Nesterov momentum: v ← μ v + g, θ ← θ − η (g + μ v).

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        momentum: μ in [0, 1); 0 is plain gradient descent.
        nesterov: look ahead along v; without it, heavy-ball momentum.
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Sutskever et al., "On the Importance of Initialization and Momentum", 2013,
    equations 3 and 4, in the form with the gradient at the looked-ahead point.
    """
    check_numbers(lr, weight_decay, momentum=momentum)
    return _build(
        torch.optim.SGD,
        params,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        weight_decay=weight_decay,
    )


def adagrad(
    params: Parameters,
    lr: float = 0.01,
    *,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> Optimizer:
    """AdaGrad: each weight's rate falls with the sum of its squared gradients.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        lr_decay: step t uses η / (1 + lr_decay · (t − 1)).
        eps: added to the root.
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011, equation 1 (diagonal).
    """
    check_numbers(lr, weight_decay)
    return _build(
        torch.optim.Adagrad, params, lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay
    )


def adadelta(
    params: Parameters,
    lr: float = 1.0,
    *,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adadelta: steps in the weights' own units, from running means of squares.

    Args:
        params: tensors or parameter groups.
        lr: factor on the step; the paper's method is 1.
        rho: decay of the running means, in [0, 1).
        eps: inside both roots; it sets the first steps' size (about √eps).
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Zeiler, "ADADELTA", 2012, algorithm 1.
    """
    check_numbers(lr, weight_decay, rho=rho)
    return _build(torch.optim.Adadelta, params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)


def rmsprop(
    params: Parameters,
    lr: float = 0.001,
    *,
    alpha: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centred: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop: the gradient divided by the root of the running mean of its square.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        alpha: decay of the running mean, in [0, 1).
        eps: added to the root.
        momentum: μ in [0, 1) on the divided gradient.
        centred: subtract the squared running mean of the gradient (Graves, 2013).
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012.
    """
    check_numbers(lr, weight_decay, alpha=alpha, momentum=momentum)
    return _build(
        torch.optim.RMSprop,
        params,
        lr=lr,
        alpha=alpha,
        eps=eps,
        momentum=momentum,
        centered=centred,
        weight_decay=weight_decay,
    )


def adam(
    params: Parameters,
    lr: float = 0.001,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam: running mean over root of running square, both corrected for their start at 0.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        betas: decays of the two running means, in [0, 1).
        eps: added to the root.
        weight_decay: λ; λθ is added to the gradient (for decoupled decay take adamw).

    Raises:
        ConfigError: a number out of its range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """
    return _adam_like(torch.optim.Adam, params, lr, betas, eps, weight_decay)


def adamw(
    params: Parameters,
    lr: float = 0.001,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Adam with decoupled weight decay: the weights shrink by ηλ beside Adam's step.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        betas: decays of the two running means, in [0, 1).
        eps: added to the root.
        weight_decay: λ, decoupled.

    Raises:
        ConfigError: a number out of its range.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """
    return _adam_like(torch.optim.AdamW, params, lr, betas, eps, weight_decay)


def nadam(
    params: Parameters,
    lr: float = 0.002,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum_decay: float = 4e-3,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam with Nesterov's look-ahead; weight decay decoupled.

    Args:
        params: tensors or parameter groups.
        lr: learning rate η.
        betas: decays of the two running means, in [0, 1).
        eps: added to the root.
        momentum_decay: ψ of the momentum schedule μ_t = β₁ (1 − ½ · 0.96^(tψ)).
        weight_decay: λ, decoupled.

    Raises:
        ConfigError: a number out of its range.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 2.
    """
    check_numbers(lr, weight_decay, betas=betas)
    return _build(
        torch.optim.NAdam,
        params,
        lr=lr,
        betas=betas,
        eps=eps,
        momentum_decay=momentum_decay,
        weight_decay=weight_decay,
        decoupled_weight_decay=True,
    )


def check_numbers(lr: Any, weight_decay: Any, **shares: Any) -> None:
    """Refuse a rate that is not above 0, a decay below 0, or a share outside [0, 1).

    Raises:
        ConfigError: all of them together.
    """
    problems = []
    if not (_is_number(lr) and 0 < lr < math.inf):
        problems.append(f"The learning rate lr={lr!r} must be a finite number above 0.")
    if not (_is_number(weight_decay) and 0 <= weight_decay < math.inf):
        problems.append(f"weight_decay={weight_decay!r} must be a finite number, 0 or more.")
    for name, share in shares.items():
        if name == "betas":
            if len(share) != 2 or not all(_is_number(beta) and 0 <= beta < 1 for beta in share):
                problems.append(f"betas={share!r} must be two numbers in [0, 1).")
        elif not (_is_number(share) and 0 <= share < 1):
            problems.append(f"{name}={share!r} must lie in [0, 1).")
    if problems:
        raise ConfigError(problems)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_groups(params: Parameters) -> list[dict[str, Any]]:
    """Parameter groups, from groups or from bare tensors; each group a fresh dictionary.

    Raises:
        ConfigError: there is no parameter.
    """
    entries: list[Any] = list(params)
    if not all(isinstance(entry, dict) for entry in entries):
        entries = [{"params": entries}]
    groups = [{**group, "params": list(group["params"])} for group in entries]
    if not any(group["params"] for group in groups):
        raise ConfigError("The optimiser got no parameters: give it those of a network.")
    for group in groups:
        check_numbers(group.get("lr", 1.0), group.get("weight_decay", 0.0))
    return groups


_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
"""Those with a fused kernel on the CPU: there a step takes a third of the looped one's time."""


def _adam_like(
    constructor: Callable[..., Optimizer],
    params: Parameters,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Optimizer:
    check_numbers(lr, weight_decay, betas=betas)
    return _build(
        constructor, params, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay
    )


def _build(
    constructor: Callable[..., Optimizer], params: Parameters, **arguments: Any
) -> Optimizer:
    """The optimiser with the fused kernel where it has one, else with torch's own choice."""
    groups = as_groups(params)
    try:
        if constructor in _FUSED and can_fuse(groups):
            return fused_safely(constructor(groups, fused=True, **arguments))
        return constructor(groups, **arguments)
    except ValueError as error:
        raise ConfigError(f"The optimiser cannot be built: {error}.") from error
