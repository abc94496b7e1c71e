"""The last layer of a network: replaced for other classes, trained alone."""

import torch
from torch import nn

from striate.errors import ConfigError
from striate.layers import conv


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers that give class scores, auxiliary heads included."""
    modules = dict(network.named_modules())
    names = tuple(name for name in getattr(network, "heads", ("head",)) if name in modules)
    if not names:
        raise ConfigError(
            f"{type(network).__name__} has no layer named 'head'; name its last layer so, or "
            "list its last layers in an attribute `heads`."
        )
    return names


def replace_head(network: nn.Module, num_classes: int) -> None:
    """Give the network fresh last layers for another number of classes, in place.

    Example:
        >>> from striate.networks import ResNet
        >>> network = ResNet(1000, depth=18)
        >>> replace_head(network, 7)
        >>> network(torch.randn(2, 3, 64, 64)).shape
        torch.Size([2, 7])

    Raises:
        ConfigError: a network whose head is neither a linear layer nor a convolution.
    """
    for name in head_names(network):
        old = network.get_submodule(name)
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, _fresh(old, num_classes))


def _fresh(old: nn.Module, num_classes: int) -> nn.Module:
    bias = getattr(old, "bias", None) is not None
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, num_classes, bias=bias)
    elif isinstance(old, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        layer = conv(len(old.kernel_size))
        new = layer(old.in_channels, num_classes, old.kernel_size, padding=old.padding, bias=bias)
    else:
        raise ConfigError(
            f"A head of type {type(old).__name__} cannot be replaced; accepted: a linear layer "
            "or a convolution."
        )
    with torch.no_grad():
        # small, so that the first scores say little and the loss begins at log K
        nn.init.normal_(new.weight, std=0.01)  # type: ignore[arg-type]
        if bias:
            nn.init.zeros_(new.bias)  # type: ignore[arg-type]
    reference = next(old.parameters())
    return new.to(device=reference.device, dtype=reference.dtype)


def freeze_features(network: nn.Module) -> list[str]:
    """Stop the training of everything but the heads; the names of what was stopped.

    Batch normalisation goes on updating its averages in training mode: keep a frozen network's
    features in eval mode if they must not move.
    """
    heads = tuple(f"{name}." for name in head_names(network))
    frozen = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and not name.startswith(heads):
            parameter.requires_grad_(False)
            frozen.append(name)
    return frozen


def unfreeze_features(network: nn.Module, frozen: list[str]) -> None:
    """Train again what `freeze_features` stopped, and nothing that was never trained."""
    for name in frozen:
        network.get_parameter(name).requires_grad_(True)
