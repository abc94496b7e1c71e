"""Rectified units that give zero wherever one looks: they pass nothing on and learn nothing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import ConfigError
from striate.seeing.running import running_calls
from striate.seeing.twin import twin
from striate.typed_json import JsonRecord

__all__ = ["DeadUnits", "dead_units"]


@dataclass(frozen=True)
class DeadUnits(JsonRecord):
    """Channels of a rectified map that are zero on all images at all positions."""

    layer: str
    """Name of the module that rectifies; "" is the network itself."""
    dead: int
    size: int
    """All channels of the map."""
    num_images: int


def dead_units(network: nn.Module, batches: Iterable[Tensor]) -> tuple[DeadUnits, ...]:
    """Dead channels after each rectifier (ReLU, ReLU6, clamp from 0), module or function.

    Args:
        network: Any module; left as it is.
        batches: Images as the network takes them (B, ...), some hundreds in all: a channel that
            only few images excite is dead on the others.

    Raises:
        ConfigError: no image.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
        >>> network[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
        >>> [(row.layer, row.dead, row.size) for row in dead_units(network, [torch.ones(4, 2)])]
        [('1', 1, 3)]
    """
    copied, num_images = twin(network), 0
    alive: dict[tuple[str, int], Tensor] = {}
    for images in batches:
        with torch.no_grad(), running_calls(copied) as running, _Rectified(alive, running):
            copied(images.clone())
        num_images += len(images)
    if num_images == 0:
        raise ConfigError("There is no image; give some hundreds.")
    return tuple(
        DeadUnits(layer, int((~channels).sum()), len(channels), num_images)
        for (layer, _), channels in alive.items()
    )


class _Rectified(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Enters which channels of what a rectifier gives are anywhere above zero."""

    def __init__(
        self, alive: dict[tuple[str, int], Tensor], running: Sequence[tuple[str, int]]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alive, self._running = alive, running
        self._counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        arguments = dict(zip((a.name for a in func._schema.arguments), args, strict=False))
        arguments |= kwargs or {}
        if _rectifies(func._schema.name, arguments) and output.ndim > 1:
            layer = self._running[-1][0]
            key = (layer, self._counts[layer])
            self._counts[layer] += 1
            above = (output > 0).transpose(0, 1).flatten(1).any(1)
            before = self._alive.get(key)
            self._alive[key] = above if before is None else above | before
        return output


def _rectifies(name: str, arguments: dict[str, Any]) -> bool:
    """Whether the operation drops what is below zero."""
    name = name.removeprefix("aten::").removesuffix("_")
    floors = {"clamp_min": "min", "clamp": "min", "hardtanh": "min_val", "threshold": "threshold"}
    if name not in floors:
        return name == "relu"
    floor = arguments.get(floors[name], -1)
    return isinstance(floor, int | float) and floor == 0
