"""The second term of L = data loss + λ R(W): penalties of large weights.

R takes weights only: a bias moves a decision boundary without bending it, and the
factors of a normalisation are undone by the next layer, so both are left out by default.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ["elastic_net_penalty", "l1_penalty", "l2_penalty", "penalised_weights"]


def penalised_weights(network: nn.Module, *, biases: bool = False) -> list[nn.Parameter]:
    """The parameters that a penalty takes, each once, in the network's order.

    Args:
        network: Module.
        biases: Whether to take the biases too (never the parameters of normalisations).

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(7, 2))
        >>> [tuple(weight.shape) for weight in penalised_weights(network)]
        [(5, 3, 3, 3), (2, 7)]
    """
    weights: dict[int, nn.Parameter] = {}
    for module in network.modules():
        if isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if biases or not name.startswith("bias"):
                weights.setdefault(id(parameter), parameter)
    return list(weights.values())


def l2_penalty(weights: Iterable[Float[Tensor, "..."]]) -> Float[Tensor, ""]:
    """Σ w², which prefers weights that are small and spread.

    Example:
        >>> l2_penalty([torch.tensor([1.0, 0, 0, 0])]), l2_penalty([torch.full((4,), 0.25)])
        (tensor(1.), tensor(0.2500))
    """
    return _total(weight.square().sum() for weight in weights)


def l1_penalty(weights: Iterable[Float[Tensor, "..."]]) -> Float[Tensor, ""]:
    """Σ |w|, which prefers weights that are exactly zero.

    Example:
        >>> l1_penalty([torch.tensor([1.0, 0, 0, 0])]), l1_penalty([torch.full((4,), 0.25)])
        (tensor(1.), tensor(1.))
    """
    return _total(weight.abs().sum() for weight in weights)


def elastic_net_penalty(
    weights: Iterable[Float[Tensor, "..."]], *, l1: float = 1.0, l2: float = 1.0
) -> Float[Tensor, ""]:
    """l1 · Σ |w| + l2 · Σ w².

    Source: Zou and Hastie, Regularization and variable selection via the elastic net (2005).

    Example:
        >>> elastic_net_penalty([torch.full((4,), 0.25)], l1=1.0, l2=2.0)
        tensor(1.5000)
    """
    weights = list(weights)
    return l1 * l1_penalty(weights) + l2 * l2_penalty(weights)


def _total(terms: Iterable[Tensor]) -> Tensor:
    terms = list(terms)
    return torch.stack(terms).sum() if terms else torch.zeros(())
