"""A row of a network's table: one call of one layer, or a block of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from striate.calculus.cost import LayerCost
from striate.layers.geometry.field import Status
from striate.layers.geometry.reads import Unread
from striate.layers.geometry.row import LayerRow
from striate.layers.geometry.track import Track
from striate.seeing.peak import Peak
from striate.typed_json import JsonRecord

__all__ = ["Row", "row_of", "timed", "together"]


@dataclass(frozen=True)
class Row(JsonRecord):
    """One call of one layer, or all layers of a block together."""

    name: str
    """Name of the module; "" is the network itself."""
    kind: str
    layers: int
    """Calls of layers in it."""
    axes: tuple[str, ...]
    """Of the output: C for channels, then L, H W or D H W as in the image; "" for another kind."""
    shape: tuple[int, ...]
    """Of the output, without the batch."""
    parameters: int
    """At the first call; a layer that runs again has none left."""
    multiply_adds: int
    """For one image; FLOP = 2 for each."""
    uncounted: tuple[str, ...]
    """Operations whose multiply-adds nobody knows and which are not in the count."""
    field: tuple[int, ...] | None
    """Receptive field, pixels along each axis of the image; None: it could not be followed."""
    stride: tuple[float, ...] | None
    """Pixels from one unit to the next; 0: all units see the same."""
    centre: tuple[float, ...] | None
    """Middle of what unit 0 sees; the middle of the first pixel is 0."""
    status: Status | None
    """How far field, stride and centre can be trusted, along the worst axis."""
    unread: tuple[Unread, ...]
    """Positions along each axis of its input that nothing reads; empty: all are read."""
    kept_bytes: int
    """Kept by the batch for the backward pass."""
    moved_bytes: int
    """Read and written by the forward pass of the batch, at least."""
    flop: int
    """Of the forward pass of the batch."""
    forward: float | None = None
    """Median seconds of the batch; None: not measured."""
    backward: float | None = None
    least_forward: float | None = None
    """Seconds that the machine's peak allows at best; see `Peak.least_seconds`."""
    least_backward: float | None = None
    share: float | None = None
    """Of the machine's peak that the forward pass reaches, 0 to about 1: of the matrix product's
    where computing limits the layer, of the copy's where memory does."""
    limit: Literal["computing", "memory"] | None = None
    """What limits the layer at best."""

    @property
    def flop_per_byte(self) -> float | None:
        """FLOP for each byte that is read or written."""
        return self.flop / self.moved_bytes if self.moved_bytes else None

    @property
    def flop_per_second(self) -> float | None:
        """Speed of the forward pass."""
        return self.flop / self.forward if self.forward else None

    def to_json(self) -> dict[str, Any]:
        """The fields and what follows from them."""
        speed = {"flop_per_byte": self.flop_per_byte, "flop_per_second": self.flop_per_second}
        return super().to_json() | speed


def row_of(step: LayerRow, batch_size: int, kept_bytes: int) -> Row:
    """The row of a call that was followed.

    Args:
        step: The call, for one image.
        batch_size: Images in the batch.
        kept_bytes: Kept by the batch for the backward pass.
    """
    centre = step.field_centre
    return Row(
        name=step.name,
        kind=step.kind,
        layers=1,
        axes=_axes(step.output_shape, step.track),
        shape=step.output_shape,
        parameters=step.parameters,
        multiply_adds=step.multiply_adds,
        uncounted=step.uncounted,
        field=step.field_size,
        stride=step.field_stride,
        # A unit that sees no pixel has no middle (nan).
        centre=centre if centre is None or all(at == at for at in centre) else None,
        status=step.field_status,
        unread=step.unread,
        kept_bytes=kept_bytes,
        moved_bytes=batch_size * step.image_bytes + step.weight_bytes,
        flop=2 * batch_size * step.multiply_adds,
    )


def timed(row: Row, peak: Peak, cost: LayerCost | None) -> Row:
    """The row with what was measured, and what the machine allows at best.

    Backward, each product costs what it costs forward, and reads and writes as much; a layer
    without products moves as much as forward, at least.

    Args:
        row: Row without times.
        peak: The machine's best.
        cost: What was measured; None: the layer was not.
    """
    least = peak.least_seconds(row.flop, row.moved_bytes)
    row = replace(row, least_forward=least)
    if row.moved_bytes:
        is_bound = row.flop >= peak.balance * row.moved_bytes
        row = replace(row, limit="computing" if is_bound else "memory")
    if cost is None:
        return row
    forward = cost.forward.median
    row = replace(row, forward=forward, share=least / forward if forward and least else None)
    if cost.backward is None:
        return row
    products = cost.backward_multiply_adds / cost.multiply_adds if cost.multiply_adds else 1.0
    return replace(row, backward=cost.backward.median, least_backward=products * least)


def together(row: Row, inside: Sequence[Row]) -> Row:
    """The sums over rows, named and shaped as the given row."""
    known = [part for part in inside if part.forward is not None]
    forward = _sum(part.forward for part in inside)
    reached = _sum(part.least_forward for part in known)
    return replace(
        row,
        layers=sum(part.layers for part in inside),
        parameters=sum(part.parameters for part in inside),
        multiply_adds=sum(part.multiply_adds for part in inside),
        uncounted=tuple(dict.fromkeys(name for part in inside for name in part.uncounted)),
        unread=(),
        kept_bytes=sum(part.kept_bytes for part in inside),
        moved_bytes=sum(part.moved_bytes for part in inside),
        flop=sum(part.flop for part in inside),
        forward=forward,
        backward=_sum(part.backward for part in inside),
        least_forward=_sum(part.least_forward for part in inside),
        least_backward=_sum(part.least_backward for part in inside),
        share=reached / forward if reached and forward else None,
        limit=None,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of those that are known; None: none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _axes(shape: tuple[int, ...], track: Track | None) -> tuple[str, ...]:
    """What runs along each axis of an output; dimension 0 of the track is the batch."""
    if len(shape) == 1:
        return ("C",)
    spatial = ("L", "HW", "DHW")[len(track) - 1] if track and len(track) <= 3 else ""
    usual = ("C", *spatial)
    known = {
        axis.dim - 1: name for axis, name in zip(track or (), spatial, strict=False) if axis.dim
    }
    axes = [known.get(index, "") for index in range(len(shape))]
    if axes.count("") == 1 and spatial:
        axes[axes.index("")] = "C"
    elif len(shape) == len(usual):
        # Maps of one position: what ran along their axes is summed up.
        is_usual = all(
            name == other or (not name and (other == "C" or size == 1))
            for name, other, size in zip(axes, usual, shape, strict=True)
        )
        axes = list(usual) if is_usual else axes
    return tuple(axes)
