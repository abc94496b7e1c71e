"""Receptive fields along one axis: which stretch of the input each unit of a layer sees.

A field is kept twice. *Unbounded*, as if every axis went on for ever, padding included: this is
the receptive field of the formulas, the same for every unit up to a shift. It repeats after a
few units (`stride` input pixels per unit need not be whole after upsampling). And *inside* the
image, unit by unit: this is what a gradient reaches.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from striate.layers.window import Window

Status = Literal["exact", "bound", "depends on data"]
"""How far size, stride and centre of a field can be trusted. exact: every unit sees a stretch of
that size, moved by the stride from unit to unit. bound: no unit sees more, but units differ, or
branches lie off each other's centre. depends on data: where a unit looks is decided by the image;
it never looks outside."""

Stretch = tuple[int, int] | None
"""The first and the last input pixel seen, both included; None: no pixel at all."""


@dataclass(frozen=True)
class AxisField:
    """The stretch of input that each unit along an axis sees."""

    period: tuple[Stretch, ...]
    """Unbounded stretches of the units 0 ... m−1; unit m sees what unit 0 sees, shifted."""
    shift: int
    """Input pixels by which unit m's stretch lies beyond unit 0's; 0: all see the same."""
    inside: tuple[Stretch, ...]
    """Stretches within the image, of every unit that exists."""
    is_misaligned: bool = False
    """Whether branches of other strides or centres were united."""
    depends_on_data: bool = False
    """Whether positions on the way here were chosen by values."""

    @property
    def status(self) -> Status:
        """How far size, stride and centre can be trusted."""
        if self.depends_on_data:
            return "depends on data"
        seen = [self.unit(index) for index in range(len(self.period) + 1)]
        known = [stretch for stretch in seen if stretch is not None]
        sizes = {last - first for first, last in known}
        steps = {b[0] - a[0] for a, b in pairwise(known)}
        is_regular = len(known) == len(seen) and len(sizes) == len(steps) == 1
        return "exact" if is_regular and not self.is_misaligned else "bound"

    @property
    def size(self) -> int:
        """Input pixels from the first to the last that a unit sees, at most; 0: none."""
        # Branches whose strides disagree drift apart, so that units far in may see the most.
        seen = (*self.period, *self.inside)
        return max((s[1] - s[0] + 1 for s in seen if s is not None), default=0)

    @property
    def stride(self) -> Fraction:
        """Input pixels from one unit to the next."""
        return Fraction(self.shift, len(self.period))

    @property
    def centre(self) -> float:
        """The middle of what unit 0 sees, in input pixels (the first pixel's middle is 0)."""
        known = [(i, s) for i, s in enumerate(self.period) if s is not None]
        if not known:
            return math.nan
        unit, (first, last) = known[0]
        return (first + last) / 2 - float(unit * self.stride)

    def unit(self, index: int) -> Stretch:
        """The unbounded stretch of any unit, those in the padding included."""
        turns, position = divmod(index, len(self.period))
        stretch = self.period[position]
        if stretch is None:
            return None
        return stretch[0] + turns * self.shift, stretch[1] + turns * self.shift

    @classmethod
    def of_input(cls, size: int) -> "AxisField":
        """Each pixel sees itself."""
        return cls(((0, 0),), 1, tuple((i, i) for i in range(size)))

    def united(self, other: "AxisField") -> "AxisField":
        """The field of units that read both; one side may see the same from every unit."""
        if self == other:
            return self
        count = math.lcm(len(self.period), len(other.period))
        if self.shift == 0 or other.shift == 0:
            count = max(len(self.period), len(other.period))
        shift = max(field.shift * count // len(field.period) for field in (self, other))
        length = max(len(self.inside), len(other.inside))
        inside = (
            field.inside if len(field.inside) == length else field.inside * length
            for field in (self, other)
        )
        pairs = [(self.unit(i), other.unit(i)) for i in range(count)]
        is_aligned = self.stride == other.stride and all(
            a is None or b is None or sum(a) == sum(b) for a, b in pairs
        )
        return AxisField(
            tuple(map(hull, pairs)),
            shift,
            tuple(map(hull, zip(*inside, strict=True))),
            self.is_misaligned or other.is_misaligned or not is_aligned,
            self.depends_on_data or other.depends_on_data,
        )


@dataclass(frozen=True)
class AxisMap:
    """Which inputs each output of a layer takes along one axis.

    `taps(o + period)` is `taps(o)` with `shift` added to each.
    """

    taps: Callable[[int], Sequence[int]]
    num_outputs: int
    period: int = 1
    shift: int = 1
    border_taps: Callable[[int], Sequence[int]] | None = None
    """Inputs taken in truth where they differ from the rule: mirrored borders."""


def window_map(window: Window, num_outputs: int) -> AxisMap:
    """The map of a sliding window."""
    return AxisMap(window.taps, num_outputs, shift=window.stride)


def apply_map(field: AxisField, along: AxisMap) -> AxisField:
    """The field of a layer's outputs from the field of its inputs."""
    turns = len(field.period) // math.gcd(along.shift, len(field.period))
    taken = along.border_taps or along.taps
    units = dict(enumerate(field.inside))
    # Spelt out where every unit of every layer passes: calls would cost more than the work.
    seen = (
        [stretch for i in taken(o) if (stretch := units.get(i)) is not None]
        for o in range(along.num_outputs)
    )
    return AxisField(
        tuple(hull(field.unit(i) for i in along.taps(o)) for o in range(along.period * turns)),
        field.shift * along.shift * turns // len(field.period),
        tuple((min(s)[0], max(last for _, last in s)) if s else None for s in seen),
        field.is_misaligned,
        field.depends_on_data,
    )


def whole(field: AxisField) -> AxisField:
    """The field of something that reads every unit along the axis."""
    return AxisField(
        (hull(field.unit(i) for i in range(len(field.inside))),),
        0,
        (hull(field.inside),),
        depends_on_data=field.depends_on_data,
    )


def hull(stretches: Iterable[Stretch]) -> Stretch:
    """The smallest stretch that holds all of them."""
    known = [s for s in stretches if s is not None]
    if not known:
        return None
    return min(first for first, _ in known), max(last for _, last in known)
