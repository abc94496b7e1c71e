"""Receptive fields of any module of a network, as boxes of the image."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers.geometry.trace import trace
from striate.layers.geometry.track import Track
from striate.seeing.twin import captured, last_call, twin

__all__ = ["boxes_of", "tracks_of"]


def tracks_of(network: nn.Module, size: Sequence[int], names: Sequence[str]) -> dict[str, Track]:
    """The receptive fields of layers, by name.

    Args:
        network: Any module; left as it is.
        size: Shape (C, *S) of an image.
        names: Names of modules, containers included; of one that runs more than once, its last
            call counts.

    Raises:
        ShapeError: a layer whose field cannot be followed.
        ConfigError: a layer that does not run.
    """
    rows = {row.name: row for row in trace(_Marked(twin(network), names), tuple(size)).steps}
    tracks = {name: rows[f"marks.{i}"].track for i, name in enumerate(names)}
    lost = [name for name, track in tracks.items() if track is None]
    if lost:
        raise ShapeError(
            f"The receptive field of the layer {lost[0]!r} cannot be followed. Name an earlier one."
        )
    return {name: track for name, track in tracks.items() if track is not None}


def boxes_of(positions: Int[Tensor, "C k D"], track: Track, bounded: bool) -> Int[Tensor, "C k E"]:
    """The first pixel that units see along each axis, then the one after the last.

    Args:
        positions: Positions of units in the maps of a layer.
        track: Receptive fields of the layer.
        bounded: Whether what lies outside of the image is cut off.

    Returns:
        Top, left, bottom, right.
    """
    ends = []
    for axis in track:
        # Units that are in no order along the axis see what all of them see together.
        dim = axis.dim if axis.dim is not None and axis.dim >= 2 else None
        field = axis.at(dim).field
        units = range(len(field.inside))
        stretches = field.inside if bounded else tuple(map(field.unit, units))
        table = torch.tensor([(0, 0) if s is None else (s[0], s[1] + 1) for s in stretches])
        unit = positions.new_zeros(positions.shape[:2]) if dim is None else positions[..., dim - 2]
        ends.append(table[unit])
    return torch.stack(ends, -1).flatten(-2)


class _Marked(nn.Module):
    """A network whose chosen layers' outputs pass through modules with names of their own.

    So that fields are known for any module, containers included.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, names
        self.marks = nn.ModuleList(nn.Identity() for _ in names)

    def forward(self, x: Tensor) -> None:
        with captured(self.network, *self.names) as outputs:
            self.network(x)
        for name, mark in zip(self.names, self.marks, strict=True):
            mark(last_call(outputs, name))
