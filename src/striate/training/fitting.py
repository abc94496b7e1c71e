"""Whether a network can take images of a size, decided without computing anything."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from striate.errors import ConfigError, ShapeError
from striate.layers.geometry import ledger
from striate.networks import NETWORKS
from striate.registry import Pick

_SPELLED = {
    "scores": "scores for each image",
    "map": "scores for each pixel",
    "embedding": "an embedding of each image",
    "image": "an image",
    "sequence": "scores for each position of a sequence",
    "boxes": "boxes",
}
_LARGEST = 1024
"""No network here needs more pixels a side."""
_STEP = 8
"""Sizes are tried in steps of so many pixels; most networks halve three times or more."""


NETWORK_ARGUMENTS = ("num_classes", "in_channels", "input_size")
"""Arguments of networks that follow from the data."""


def build_network(
    pick: Pick, num_outputs: int, channels: int, size: Sequence[int], **more: Any
) -> nn.Module:
    """A network for data of a shape, its weights drawn from torch's default generator.

    Args:
        pick: Name and arguments.
        num_outputs: Number of outputs, for classes K.
        channels: Channels C of an image.
        size: Height and width, pixels.
        more: Further arguments that the caller supplies.

    Raises:
        ConfigError: all problems of the pick together.
        ShapeError: a size that the network cannot take.
    """
    shape = dict(zip(NETWORK_ARGUMENTS, (num_outputs, channels, tuple(size)), strict=True))
    return NETWORKS.build(pick, **shape, **more)


def outputs_problem(pick: Pick, wanted: str | None) -> str | None:
    """The reason why a network's outputs do not fit a task; None where they do.

    Args:
        pick: Network.
        wanted: Outputs that the task reads; None: any.

    Example:
        >>> outputs_problem(Pick("resnet"), "scores") is None
        True
    """
    if wanted is None or outputs_of(pick.name) == wanted:
        return None
    fitting = [name for name in NETWORKS if outputs_of(name) == wanted]
    return (
        f"The network {pick.name!r} gives {_SPELLED[outputs_of(pick.name)]}; the task needs "
        f"{_SPELLED[wanted]}. Networks that give that: {', '.join(fitting) or 'none yet'}."
    )


def outputs_of(name: str) -> str:
    """The kind of outputs that a registered network has."""
    return str(getattr(NETWORKS[name], "outputs", "scores"))


def smaller(size: Sequence[int], scale: float) -> tuple[int, ...]:
    """The sides, pixels, of images that are shown at a share of theirs.

    Example:
        >>> smaller((32, 24), 0.6)
        (19, 14)
    """
    return tuple(max(2, round(length * scale)) for length in size)


def size_problem(
    pick: Pick, channels: int, size: Sequence[int], shown: Sequence[int] | None = None
) -> str | None:
    """Why a network cannot take images of a size, in its own words; None where it can.

    Args:
        pick: Network.
        channels: Channels of the images.
        size: Height and width that it is built for, pixels.
        shown: Height and width of its input; None: the same.

    Example:
        >>> size_problem(Pick("resnet", depth=20), 3, (32, 32)) is None
        True
    """
    return _size_problem(NETWORKS[pick.name], pick, channels, tuple(size), tuple(shown or size))


@functools.lru_cache(maxsize=256)
def _size_problem(
    _: object, pick: Pick, channels: int, size: tuple[int, ...], shown: tuple[int, ...]
) -> str | None:
    """`size_problem` of a name that stands for this network; a trace takes half a second."""
    image = (channels, *shown)
    try:
        with torch.device("meta"):
            network = build_network(pick, 2, channels, size)
            if hasattr(network, "check_images"):
                # It knows by itself; a trace imports torch's compiler, which takes a second.
                network.check_images(torch.empty(1, *image))  # type: ignore[operator]
                return None
        ledger(network, image)
    except ShapeError as error:
        return str(error)
    except (NotImplementedError, RuntimeError):
        return None  # a network that computes with values cannot be tried without images
    return None


def fitted(
    network: str | Mapping[str, Any] | None, channels: int, size: tuple[int, int], why: str
) -> tuple[tuple[int, int], str]:
    """The input size with its reason, enlarged where the network that was set needs it.

    The shape stays; the shorter side becomes the next multiple of eight pixels that works.

    Args:
        network: Setting of a person; None leaves the size as it is.
        channels: Channels of the images.
        size: Height and width that the images suggest, pixels.
        why: Reason of that size.

    Example:
        >>> fitted("alexnet", 3, (32, 32), "the images' own size")
        ((64, 64), "alexnet cannot take the images' 32 × 32")
    """
    if network is None:
        return size, why
    setting = dict(network) if isinstance(network, Mapping) else {"name": network}
    if setting.get("name") not in NETWORKS:
        return size, why  # reported with all other problems
    pick = Pick.from_json(setting)
    if NETWORKS.problems(pick, NETWORK_ARGUMENTS):
        return size, why
    try:
        if size_problem(pick, channels, size) is None:
            return size, why
        height, width = size
        shorter = min(size)
        for side in range(_STEP * (shorter // _STEP + 1), _LARGEST + 1, _STEP):
            larger = (round(height * side / shorter), round(width * side / shorter))
            if size_problem(pick, channels, larger) is None:
                return larger, f"{pick.name} cannot take the images' {height} × {width}"
    except ConfigError:
        pass  # arguments that do not go together are reported when the network is built
    return size, why
