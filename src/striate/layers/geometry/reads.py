"""Positions of a map that no layer reads: jumped over by a stride, or cut off at the end.

A layer may jump over positions that another one reads (the shortcut of a residual block), so that
a map counts as read in part only where all that read it leave out the same positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from striate.layers.window import Window


@dataclass(frozen=True)
class Unread:
    """Positions along one axis of a layer's input that nothing reads."""

    count: int
    size: int
    """All positions along the axis."""
    is_gap: bool
    """Whether they lie between positions that are read, not only at the end."""


Positions = tuple[frozenset[int], ...]
"""Positions left out along each axis."""


class Reads:
    """All that reads each tensor, entered as it runs."""

    def __init__(self) -> None:
        self._sizes: dict[int, tuple[int, ...]] = {}
        self._left_out: dict[int, Positions] = {}
        self._windows: dict[int, list[int]] = {}

    def whole(self, tensor: Tensor) -> None:
        """Something reads all of the tensor."""
        self._left_out[id(tensor)] = ()

    def by_windows(
        self, tensor: Tensor, axes: Sequence[Window], num_outputs: Sequence[int], reader: int
    ) -> None:
        """A layer, known by a number, slides windows along the tensor's last dimensions."""
        sizes = tuple(tensor.shape[tensor.ndim - len(axes) :])
        columns = zip(axes, num_outputs, sizes, strict=True)
        left_out = tuple(_left_out(*column) for column in columns)
        before = self._left_out.get(id(tensor), left_out)
        same = len(before) == len(left_out)
        self._left_out[id(tensor)] = (
            tuple(a & b for a, b in zip(before, left_out, strict=True)) if same else ()
        )
        self._sizes[id(tensor)] = sizes
        self._windows.setdefault(id(tensor), []).append(reader)

    def unread(self) -> dict[int, tuple[Unread, ...]]:
        """For each layer that jumps over positions that nothing else reads: along each axis."""
        result: dict[int, tuple[Unread, ...]] = {}
        for tensor, readers in self._windows.items():
            left_out = self._left_out[tensor]
            if any(left_out):
                axes = zip(left_out, self._sizes[tensor], strict=True)
                result |= dict.fromkeys(readers, tuple(_unread(*axis) for axis in axes))
        return result


def _left_out(window: Window, num_outputs: int, size: int) -> frozenset[int]:
    if window.dilation == 1 and window.kernel >= window.stride:
        # Windows without a gap: what is left lies behind the last one.
        return frozenset(range(max(window.taps(num_outputs - 1).stop, 0), size))
    read = {at for output in range(num_outputs) for at in window.taps(output)}
    return frozenset(range(size)) - read


def _unread(positions: frozenset[int], size: int) -> Unread:
    at_end = frozenset(range(size - len(positions), size))
    return Unread(len(positions), size, positions != at_end)
