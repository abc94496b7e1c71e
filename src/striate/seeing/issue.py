"""Issues of a network: what is wrong or wasteful in it, and what helps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from striate.seeing.dead import DeadUnits
from striate.seeing.row import Row
from striate.seeing.table import Table
from striate.typed_json import JsonRecord

__all__ = ["Issue", "issues"]

_WASTE = 0.2
"""Share of the peak below which a layer wastes the machine ..."""
_MATTERS = 0.05
"""... if it takes more than this share of the time of all layers."""
_DEAD = 0.1
"""Share of dead units from which on they are worth a word."""


@dataclass(frozen=True)
class Issue(JsonRecord):
    """One thing to mend."""

    layer: str
    """Name of the module; "" is the network as a whole."""
    problem: str
    cure: str


def issues(
    table: Table,
    *,
    object_size: Sequence[int] | None = None,
    dead: Sequence[DeadUnits] = (),
) -> tuple[Issue, ...]:
    """Issues of a network, in the order of its layers, kind by kind.

    Args:
        table: Table of the network; layers that waste the machine are known if it was measured.
        object_size: Pixels of what is to be recognised, along each axis of the image; None: as
            large as the image.
        dead: What `dead_units` saw on images after a training.
    """
    size = tuple(object_size or table.input_shape[1:])
    return (
        *_uncounted(table),
        *_small_field(table, size),
        *_unread(table),
        *_waste(table),
        *_dead(dead),
        *_in_training(table),
    )


def _uncounted(table: Table) -> Iterator[Issue]:
    for row in table.rows:
        if row.uncounted:
            yield Issue(
                row.name,
                f"The multiply-adds of {', '.join(row.uncounted)} are not known and not counted.",
                "Read the totals as lower bounds, or write the layer with products and "
                "convolutions.",
            )


def _small_field(table: Table, size: tuple[int, ...]) -> Iterator[Issue]:
    """The last maps whose units still differ along an axis, where what follows only adds them up.

    Several layers with weights after them can relate any positions with each other.
    """
    maps = [row for row in table.rows if row.stride and row.field and all(row.stride)]
    if not maps or len(size) != len(maps[-1].field or ()):
        return
    last = maps[-1]
    field = last.field or ()
    after = table.rows[table.rows.index(last) + 1 :]
    if sum(row.multiply_adds > 0 for row in after) > 1:
        return
    if any(seen < wanted for seen, wanted in zip(field, size, strict=True)):
        yield Issue(
            last.name,
            f"A unit of the last maps sees {_by(field)} pixels, less than an object of "
            f"{_by(size)}: no unit sees the whole of it.",
            "Add layers, a stride or a pooling early on, or dilation; or make the images smaller.",
        )


def _unread(table: Table) -> Iterator[Issue]:
    for row in table.rows:
        lost = [axis for axis in row.unread if axis.count]
        if not lost:
            continue
        counts = " and ".join(f"{axis.count} of {axis.size} positions" for axis in lost)
        if any(axis.is_gap for axis in lost):
            yield Issue(
                row.name,
                f"Its stride is longer than its window: {counts} along the axes are computed and "
                "read by nothing.",
                "Let a layer before it have the stride, take a window as long as the stride, or "
                "pool first.",
            )
        else:
            yield Issue(
                row.name,
                f"Its last window ends before the map does: {counts} at the end are read by "
                "nothing.",
                "Pad by a pixel more, round up (ceil_mode), or take images whose size fits.",
            )


def _waste(table: Table) -> Iterator[Issue]:
    whole = sum(row.forward or 0.0 for row in table.rows)
    for row in table.rows:
        if row.share is None or row.share >= _WASTE or (row.forward or 0.0) < _MATTERS * whole:
            continue
        yield Issue(
            row.name,
            f"It takes {100 * (row.forward or 0.0) / whole:.0f} % of the forward time of all "
            f"layers and reaches {100 * row.share:.0f} % of what the machine can do, limited by "
            f"{row.limit}.",
            _cure(row),
        )


def _cure(row: Row) -> str:
    if row.limit == "memory":
        return (
            "It hardly computes with what it reads: let Striate choose faster operators "
            "(execution), join it with the layer before it, or let it work in place."
        )
    return (
        "Give it more to do at once: a larger batch, channels in multiples of 16, fewer groups; or "
        "let Striate choose faster operators (execution)."
    )


def _dead(dead: Sequence[DeadUnits]) -> Iterator[Issue]:
    for units in dead:
        if units.dead > _DEAD * units.size:
            yield Issue(
                units.layer,
                f"{units.dead} of {units.size} channels are zero at all positions of "
                f"{units.num_images} images.",
                "Lower the learning rate or warm it up, normalise before the rectifier, or take "
                "a leaky one; what stays dead can be cut off without a loss.",
            )


def _in_training(table: Table) -> Iterator[Issue]:
    if table.only_in_training:
        yield Issue(
            "",
            f"{', '.join(table.only_in_training[:4])}{' ...' * (len(table.only_in_training) > 4)} "
            "run in training only: they have no row, and what they keep counts as kept between "
            "layers.",
            "Nothing to mend; mind it when you compare parameters and times.",
        )


def _by(values: Sequence[int]) -> str:
    return "×".join(map(str, values))
