"""Optimisers with a rate of its own for each weight, by torch.optim, with defaults for images.

Weight decay of AdaGrad, Adadelta, RMSprop and Adam is added to the gradient (L2); that of AdamW
and NAdam is decoupled. A group's own "lr" or "weight_decay" stands above the argument of the
same name.
"""

import torch
from torch.optim import Optimizer

from striate.optim.group import Parameters
from striate.optim.layout import construct


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
        params: Tensors or parameter groups.
        lr: Learning rate η.
        lr_decay: Step t uses η / (1 + lr_decay · (t − 1)).
        eps: Added to the root.
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011, equation 1 (diagonal).
    """
    rest = {"lr_decay": lr_decay, "eps": eps}
    return construct(torch.optim.Adagrad, params, lr, weight_decay, **rest)


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
        params: Tensors or parameter groups.
        lr: Factor on the step; the paper's method is 1.
        rho: Decay of the running means, in [0, 1).
        eps: Inside both roots; it sets the first steps' size (about √eps).
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Zeiler, "ADADELTA", 2012, algorithm 1.
    """
    return construct(torch.optim.Adadelta, params, lr, weight_decay, rho=rho, eps=eps)


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
        params: Tensors or parameter groups.
        lr: Learning rate η.
        alpha: Decay of the running mean, in [0, 1).
        eps: Added to the root.
        momentum: μ in [0, 1) on the divided gradient.
        centred: Subtract the squared running mean of the gradient (Graves, 2013).
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012.
    """
    rest = {"alpha": alpha, "eps": eps, "momentum": momentum, "centered": centred}
    return construct(torch.optim.RMSprop, params, lr, weight_decay, **rest)


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
        params: Tensors or parameter groups.
        lr: Learning rate η.
        betas: Decays of the two running means, in [0, 1).
        eps: Added to the root.
        weight_decay: λ; λθ is added to the gradient (for decoupled decay take adamw).

    Raises:
        ConfigError: a number out of its range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """
    return construct(torch.optim.Adam, params, lr, weight_decay, betas=tuple(betas), eps=eps)


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
        params: Tensors or parameter groups.
        lr: Learning rate η.
        betas: Decays of the two running means, in [0, 1).
        eps: Added to the root.
        weight_decay: λ, decoupled.

    Raises:
        ConfigError: a number out of its range.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """
    return construct(torch.optim.AdamW, params, lr, weight_decay, betas=tuple(betas), eps=eps)


def nadam(
    params: Parameters,
    lr: float = 0.002,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum_decay: float = 4e-3,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam with Nesterov momentum; weight decay decoupled.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate η.
        betas: Decays of the two running means, in [0, 1).
        eps: Added to the root.
        momentum_decay: ψ of the momentum schedule μ_t = β₁ (1 − ½ · 0.96^(tψ)).
        weight_decay: λ, decoupled.

    Raises:
        ConfigError: a number out of its range.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 2.
    """
    rest = {"eps": eps, "momentum_decay": momentum_decay, "decoupled_weight_decay": True}
    return construct(torch.optim.NAdam, params, lr, weight_decay, betas=betas, **rest)
