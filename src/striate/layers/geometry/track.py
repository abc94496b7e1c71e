"""Receptive fields that travel with tensors, and the table of rules by operation.

A `Track` says, for each spatial axis of the network's input, which dimension of a tensor runs
along it (None: every element sees the same) and the field along it. Rules are kept by the name
of the operation in torch's own list (aten); element-by-element operations share one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from striate.layers.geometry.field import AxisField, AxisMap, apply_map, whole
from striate.layers.window import Window


@dataclass(frozen=True)
class AxisTrack:
    """The dimension of a tensor that runs along one axis of the input, and its field."""

    dim: int | None
    field: AxisField

    def merged(self) -> "AxisTrack":
        """The axis when elements can no longer be distinguished along it."""
        return self if self.dim is None else AxisTrack(None, whole(self.field))

    def at(self, dim: int | None) -> "AxisTrack":
        """This field along another dimension."""
        return self.merged() if dim is None else AxisTrack(dim, self.field)


Track = tuple[AxisTrack, ...]


@dataclass(frozen=True)
class Call:
    """One operation: its arguments by name, its output, and the tracks known so far."""

    arguments: dict[str, Any]
    output: Tensor
    track: Callable[[object], Track | None]
    pools: dict[int, tuple[Window, ...]]
    """Windows of max poolings by the identity of their indices, for unpooling."""

    def first(self) -> tuple[Tensor, Track | None]:
        tensor = next(iter(self.arguments.values()))
        return tensor, self.track(tensor)


Rule = Callable[[Call], Track | None]
RULES: dict[str, Rule] = {}


def rule(names: str) -> Callable[[Rule], Rule]:
    """Enter a function into the table under these names of operations, parted by spaces."""

    def keep(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return keep


def moved(track: Track | None, new_dim: Callable[[int], int | None]) -> Track | None:
    """The track with each dimension moved to `new_dim(dimension)`; None: merged."""
    if track is None:
        return None
    return tuple(a if a.dim is None else a.at(new_dim(a.dim)) for a in track)


def chosen_by_data(track: Track | None) -> Track | None:
    """The track of elements whose positions are chosen by values."""
    if track is None:
        return None
    return tuple(AxisTrack(a.dim, replace(a.field, depends_on_data=True)) for a in track)


def along_dims(track: Track | None, maps: dict[int, AxisMap]) -> Track | None:
    """The track after a map along each of some dimensions."""
    if track is None:
        return None
    return tuple(
        AxisTrack(a.dim, apply_map(a.field, maps[a.dim])) if a.dim in maps else a for a in track
    )


def united(tracks: list[Track]) -> Track | None:
    """The fields of elements that read one element of each."""
    if not tracks:
        return None
    total = tracks[0]
    for track in tracks[1:]:
        total = tuple(
            AxisTrack(a.dim if a.dim is not None else b.dim, a.field.united(b.field))
            if a.dim == b.dim or None in (a.dim, b.dim)
            else AxisTrack(None, whole(a.field).united(whole(b.field)))
            for a, b in zip(total, track, strict=True)
        )
    return total


def pointwise(call: Call) -> Track | None:
    """Element by element, with broadcasting."""
    shape = call.output.shape
    tracks = []
    for value in tensors(call.arguments):
        ahead = len(shape) - value.ndim

        def new_dim(dim: int, value: Tensor = value, ahead: int = ahead) -> int | None:
            same = 0 <= dim + ahead < len(shape) and value.shape[dim] == shape[dim + ahead]
            return dim + ahead if same else None

        track = moved(call.track(value), new_dim)
        if track is not None:
            tracks.append(track)
    return united(tracks)


def tensors(values: Any) -> list[Tensor]:
    """All tensors in nested lists, tuples and dictionaries, in their order."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def numbers(value: Any, count: int, default: int) -> list[int]:
    """Torch's short forms of one number per axis."""
    if value is None or value == []:
        return [default] * count
    if isinstance(value, int):
        return [value] * count
    return list(value) * count if len(value) == 1 else list(value)
