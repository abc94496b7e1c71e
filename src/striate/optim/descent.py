"""Gradient descent, with and without momentum.

Nothing is written again that torch.optim has: each constructor checks the numbers, names the
source and chooses the fastest kernel that is exact. A group's own "lr" or "weight_decay" stands
above the argument of the same name.
"""

import torch
from torch.optim import Optimizer

from striate.optim.group import Parameters
from striate.optim.layout import construct


def gradient_descent(
    params: Parameters, lr: float = 0.1, *, weight_decay: float = 0.0
) -> Optimizer:
    """Gradient descent without momentum: θ ← θ − η g.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate η.
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
        params: Tensors or parameter groups.
        lr: Learning rate η.
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
        params: Tensors or parameter groups.
        lr: Learning rate η.
        momentum: μ in [0, 1); 0 is plain gradient descent.
        nesterov: Take the gradient ahead along v; without it, heavy-ball momentum.
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Sutskever et al., "On the Importance of Initialization and Momentum", 2013,
    equations 3 and 4, in the form with the gradient at the looked-ahead point.
    """
    rest = {"momentum": momentum, "nesterov": nesterov and momentum > 0}
    return construct(torch.optim.SGD, params, lr, weight_decay, **rest)
