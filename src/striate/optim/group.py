"""Parameter groups: which weights decay and which do not, and what a group may say."""

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from striate.errors import ConfigError

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
"""Tensors, or groups such as `parameter_groups` gives."""


def parameter_groups(network: nn.Module, weight_decay: float | None = None) -> list[dict[str, Any]]:
    """The trainable parameters in two groups: matrices and kernels decay, the rest does not.

    Biases and the scales and shifts of normalisations (every parameter of at most one axis) get
    weight decay 0: shrinking them does not make the function simpler, and R(W) leaves them out.
    Frozen parameters (`requires_grad=False`) are in no group; a shared one is in one group once.
    Groups without parameters are left out. The order is the order of registration, so that an
    optimiser's saved state fits a network that is built again.

    Args:
        network: The network whose parameters are optimised.
        weight_decay: Decay of the first group; None leaves it to the optimiser's own argument.

    Raises:
        ConfigError: nothing is trainable, or the weight decay is negative.

    Source: He et al., "Bag of Tricks for Image Classification", 2019, section 3.1 (no bias decay).

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
        >>> [(len(g["params"]), g["weight_decay"]) for g in parameter_groups(network, 0.01)]
        [(2, 0.01), (4, 0.0)]
    """
    if weight_decay is not None and not weight_decay >= 0:
        raise ConfigError(f"weight_decay={weight_decay} must be 0 or more.")
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise ConfigError(
            "The network has no trainable parameter: all are frozen (requires_grad=False) "
            "or it has none. Unfreeze at least one layer."
        )
    decaying: dict[str, Any] = {"params": [p for p in trainable if p.ndim > 1]}
    if weight_decay is not None:
        decaying["weight_decay"] = weight_decay
    plain = {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0}
    return [group for group in (decaying, plain) if group["params"]]


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
