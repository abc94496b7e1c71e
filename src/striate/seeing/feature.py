"""Features of images: what a layer of a network makes of each, averaged over positions."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.networks.head import head_names
from striate.seeing.twin import captured, module_named, twin

__all__ = ["Images", "features", "features_of_layers", "head_name"]

Images = Tensor | Iterable[Tensor]
"""Inputs as the network takes them (normalised): one tensor (B, ...), or batch after batch."""

_AT_ONCE = 32
"""Images that run through the network at once where they come in one tensor."""


def features(network: nn.Module, images: Images, layer: str | None = None) -> Float[Tensor, "N F"]:
    """Features of images at a layer, averaged over positions, as float32 on the CPU.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them, or batches of them, which are not kept.
        layer: Name of a module, of which the output counts: (B, F) or (B, F, *S), of its last
            call. None: the input of the network's head, which is all that the scores follow from.

    Raises:
        ConfigError: no such layer, one that does not run or gives nothing for each image, or no
            images.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 3))
        >>> images = torch.zeros(5, 1, 2, 2)
        >>> features(network, images).shape, features(network, images, "0").shape
        (torch.Size([5, 8]), torch.Size([5, 2]))
    """
    if layer is not None:
        return features_of_layers(network, images, [layer])[layer]
    copied = twin(network)
    name = head_name(copied)
    return _pooled(copied, images, _inputs(copied, name))[name]


def features_of_layers(
    network: nn.Module, images: Images, layers: Sequence[str]
) -> dict[str, Float[Tensor, "N _"]]:
    """Features of images at several layers, from one pass; see `features`.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them, or batches of them.
        layers: Names of modules; "" is the network itself.

    Raises:
        ConfigError: as for `features`.
    """
    copied = twin(network)
    return _pooled(copied, images, captured(copied, *layers))


def head_name(network: nn.Module) -> str:
    """Name of the layer that gives class scores: the head, or the last module with parameters.

    Raises:
        ConfigError: a network without parameters.

    Example:
        >>> head_name(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(1)))
        '2'
    """
    try:
        named = [*head_names(network)[:1]]
    except ConfigError:
        named = [
            name
            for name, module in network.named_modules()
            # A parametrised weight lies in modules of its own, which take no features.
            if "parametrizations" not in name.split(".")
            and (module._parameters or nn.utils.parametrize.is_parametrized(module))
        ]
    if not named:
        raise ConfigError(
            f"{type(network).__name__} has no layer with parameters whose input would be the "
            "features. Name a layer."
        )
    return named[-1]


@contextmanager
def _inputs(network: nn.Module, name: str) -> Iterator[dict[str, list[Tensor]]]:
    """Inputs of a module of a twin, one for each call, while the block runs."""
    inputs: dict[str, list[Tensor]] = {name: []}

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        # Copied, since the layer may work in place.
        inputs[name] += [value.clone() for value in tensors[:1]]

    hook = module_named(network, name).register_forward_pre_hook(keep, with_kwargs=True)
    with hook:
        yield inputs


def _pooled(
    network: nn.Module, images: Images, watched: AbstractContextManager[dict[str, list[Tensor]]]
) -> dict[str, Tensor]:
    """Features of all images by the name of the layer that is watched."""
    parts: dict[str, list[Tensor]] = {}
    with watched as layers, torch.no_grad():
        for batch in torch.split(images, _AT_ONCE) if isinstance(images, Tensor) else images:
            network(batch)
            for name, calls in layers.items():
                if not calls:
                    raise ConfigError(f"The layer {name!r} does not run on a tensor.")
                parts.setdefault(name, []).append(_averaged(name, calls[-1], len(batch)))
                calls.clear()
    if not parts or not len(next(iter(parts.values()))[0]):
        raise ConfigError("There are no images.")
    return {name: torch.cat(rows) for name, rows in parts.items()}


def _averaged(name: str, maps: Tensor, num_images: int) -> Tensor:
    if maps.ndim < 2 or len(maps) != num_images:
        raise ConfigError(
            f"The layer {name!r} has {tuple(maps.shape)} for a batch of {num_images}; features "
            "are (B, F) or (B, F, *S). Name another layer."
        )
    rows = maps.float()
    return (rows.flatten(2).mean(2) if rows.ndim > 2 else rows).cpu()
