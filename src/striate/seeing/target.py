"""Targets of an explanation: a class, a unit, or any number that follows from outputs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.seeing.twin import captured, last_call

__all__ = ["Target", "Unit", "outputs_of", "scores_of"]


@dataclass(frozen=True)
class Unit:
    """One unit of a layer: a channel, at a position of its map or wherever it is strongest."""

    layer: str
    """Name of the module."""
    channel: int
    position: tuple[int, ...] | None = None
    """Row and column in the layer's map; None: where the map is largest, for each image."""


Target = int | Tensor | Unit | Callable[[Tensor], Tensor]
"""A class index for all images, one for each (B,), a unit, or a function from the network's outputs
(B, ...) to a number for each image (B,)."""


def outputs_of(network: nn.Module, images: Float[Tensor, "B *any"]) -> Tensor:
    """The network's (first) output.

    Raises:
        ConfigError: what it gives begins with no tensor.
    """
    outputs = network(images)
    while isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    if isinstance(outputs, dict) and outputs:
        outputs = next(iter(outputs.values()))
    if not isinstance(outputs, Tensor):
        raise ConfigError(f"The network gives a {type(outputs).__name__}; a tensor is explained.")
    return outputs


def scores_of(
    network: nn.Module, images: Float[Tensor, "B *any"], target: Target
) -> Float[Tensor, "B"]:
    """The number that is to be explained, for each image.

    Args:
        network: Twin of the network.
        images: Inputs as the network takes them.
        target: Class, unit or function; the scores of a class that has one for each position are
            added up.

    Raises:
        ConfigError: a class, layer, channel or position that is not there.
    """
    if isinstance(target, Unit):
        with captured(network, target.layer) as layers:
            network(images)
        return _of_unit(last_call(layers, target.layer), target)
    outputs = outputs_of(network, images)
    if not isinstance(target, int | Tensor):
        scores = target(outputs)
        if scores.shape != images.shape[:1]:
            raise ConfigError(
                f"The target gives numbers of shape {tuple(scores.shape)}; one for each of "
                f"{len(images)} image(s) is needed."
            )
        return scores
    if outputs.ndim < 2:
        raise ConfigError(
            f"The network gives {tuple(outputs.shape)}; a class is one of several outputs of each "
            "image (B, K)."
        )
    index = torch.as_tensor(target, device=outputs.device).expand(len(images))
    if not bool(((index >= 0) & (index < outputs.shape[1])).all()):
        raise ConfigError(
            f"There is no class {index.tolist()}: the network has {outputs.shape[1]} outputs, from "
            "0 on."
        )
    chosen = outputs[torch.arange(len(images), device=outputs.device), index]
    return chosen.flatten(1).sum(1) if chosen.ndim > 1 else chosen


def _of_unit(maps: Tensor, unit: Unit) -> Tensor:
    if maps.ndim < 2 or not 0 <= unit.channel < maps.shape[1]:
        raise ConfigError(
            f"There is no channel {unit.channel}: the layer {unit.layer!r} gives "
            f"{tuple(maps.shape[1:])} for each image."
        )
    channel = maps[:, unit.channel]
    if unit.position is None:
        return channel.flatten(1).amax(1) if channel.ndim > 1 else channel
    inside = len(unit.position) == channel.ndim - 1 and all(
        0 <= at < size for at, size in zip(unit.position, channel.shape[1:], strict=True)
    )
    if not inside:
        raise ConfigError(
            f"There is no position {unit.position} in the maps {tuple(channel.shape[1:])} of "
            f"{unit.layer!r}."
        )
    for at in unit.position:
        channel = channel[:, at]
    return channel
