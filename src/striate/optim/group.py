"""Parameter groups: which weights decay and which do not."""

from typing import Any

from torch import nn

from striate.errors import ConfigError

__all__ = ["parameter_groups"]


def parameter_groups(network: nn.Module, weight_decay: float | None = None) -> list[dict[str, Any]]:
    """The trainable parameters in two groups: matrices and kernels decay, the rest does not.

    Biases and the scales and shifts of normalisations (every parameter of at most one axis) get
    weight decay 0: shrinking them does not make the function simpler, and R(W) leaves them out.
    Frozen parameters (`requires_grad=False`) are in no group; a shared one is in one group once.
    Groups without parameters are left out. The order is the order of registration, so that an
    optimiser's saved state fits a network that is built again.

    Args:
        network: the network whose parameters are optimised.
        weight_decay: decay of the first group; None leaves it to the optimiser's own argument.

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
