"""The space of a search: dimensions over the plans that each network has for the data."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.config import RunConfig
from striate.errors import ConfigError
from striate.search.dimension import Choices, Dimension, Range, from_json
from striate.search.setting import (
    WIDTH,
    applies,
    change,
    planned,
    spell_augmentation,
    value_at,
)

__all__ = ["Draw", "Proposal", "Space", "default_dimensions", "space_problems"]

Draw = Callable[[Dimension], Any]
"""A value of a dimension: a number, or one of the choices."""

_PICKS = ("network", "optimiser", "schedule", "loss")
"""What brings arguments of its own is drawn first."""


@dataclass(frozen=True)
class Proposal:
    """One configuration of a space."""

    config: RunConfig
    values: Mapping[str, Any]
    """By dimension: the setting as it is trained with; multiples as multiples for "width"."""
    drawn: Mapping[str, Any]
    """By dimension: what was drawn; multiples of the plan as multiples."""


@dataclass(frozen=True)
class Space:
    """Dimensions, and the plan for each network."""

    dimensions: tuple[Dimension, ...]
    bases: Mapping[str, RunConfig]
    """By network; the first is the plan for the data."""

    @property
    def plan(self) -> RunConfig:
        return next(iter(self.bases.values()))

    def propose(self, draw: Draw) -> Proposal:
        """The configuration with a value of each dimension that applies to it.

        Raises:
            ConfigError: a value that does not fit.
        """
        config, values, drawn = self.plan, {}, {}
        ordered = sorted(self.dimensions, key=lambda d: _rank(d.key))
        for dimension in ordered:
            key = dimension.key
            if not applies(config, key):
                continue
            value = drawn[key] = draw(dimension)
            if key == "network":
                config = self.bases[value]
            else:
                base = self.bases[config.network.name]
                value = _absolute(base, dimension, value)
                config = change(config, key, value)
            values[key] = value
        return Proposal(config, values, drawn)

    def plan_drawn(self) -> dict[str, Any]:
        """The draws that give the plan itself; empty where the space does not hold it."""
        found: dict[str, Any] = {}
        for dimension in self.dimensions:
            key = dimension.key
            if not applies(self.plan, key):
                continue
            value = 1.0 if dimension.relative else value_at(self.plan, key)
            inside = (
                value in dimension.values
                if isinstance(dimension, Choices)
                else isinstance(value, (int, float)) and dimension.low <= value <= dimension.high
            )
            if not inside:
                return {}
            found[key] = value
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "dimensions": [dimension.to_json() for dimension in self.dimensions],
            "bases": {name: base.to_json() for name, base in self.bases.items()},
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Space":
        """The space back from `to_json`."""
        return cls(
            tuple(map(from_json, told["dimensions"])),
            {name: RunConfig.from_json(base) for name, base in told["bases"].items()},
        )


def default_dimensions(
    bases: Mapping[str, RunConfig], fixed: Callable[[str], bool]
) -> tuple[Dimension, ...]:
    """The default dimensions: network, width, rate, decay, batch, augmentation.

    The ranges surround the plan: a learning rate between a quarter and four times the planned one
    holds the best of nearly every set, and few trials can look no further.

    Args:
        bases: the plan for each network.
        fixed: whether a person has chosen a setting, which is then left alone.
    """
    plan = next(iter(bases.values()))
    names = spell_augmentation(plan)
    stronger = [f"{names}+{more}" for more in ("erase", "cutmix") if more not in names]
    augmentations = ("none", names, *stronger) if plan.augmentation else ("none", "shift", "erase")
    wanted: list[tuple[Dimension, str]] = [
        (Range(WIDTH, 0.5, 2.0, log=True, relative=True), "network.widths"),
        (Range("optimiser.lr", 0.25, 4.0, log=True, relative=True), "optimiser.lr"),
        (
            Range("optimiser.weight_decay", 0.1, 10.0, log=True, relative=True),
            "optimiser.weight_decay",
        ),
        (Choices("training.batch_size", (0.5, 1.0, 2.0), relative=True), "training.batch_size"),
        (Choices("augmentation", augmentations), "augmentation"),
    ]
    if plan.pretrained is not None:
        wanted[0] = (
            Range("pretrained.feature_rate", 0.1, 10.0, log=True, relative=True),
            "pretrained.feature_rate",
        )
    found: list[Dimension] = []
    if len(bases) > 1:
        found.append(Choices("network", tuple(bases)))
    for dimension, setting in wanted:
        used = any(applies(base, dimension.key) for base in bases.values())
        # a decay of 0 has no multiples
        has_plan = not dimension.relative or all(
            dimension.key == WIDTH or planned(base, dimension.key)
            for base in bases.values()
            if applies(base, dimension.key)
        )
        if used and has_plan and not fixed(setting) and not fixed(dimension.key):
            found.append(dimension)
    return tuple(found)


def space_problems(space: Space, check: Callable[[RunConfig], None]) -> list[str]:
    """Problems at the ends of the space, as sentences; each one once.

    Args:
        space: to look at.
        check: raises ConfigError for a configuration that cannot be built.
    """
    problems: dict[str, None] = {}
    met: set[str] = set()
    for draw in _corners(space.dimensions):
        try:
            proposal = space.propose(draw)
            met.update(proposal.values)
            check(proposal.config)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    for dimension in space.dimensions:
        if dimension.key not in met and not problems:
            problems[_unused(space, dimension, check)] = None
    return list(problems)


def _corners(dimensions: Sequence[Dimension]) -> Iterator[Draw]:
    """Each network with each end of each other dimension, the others in their middle."""
    picks = [d for d in dimensions if d.key in _PICKS]
    rest = [d for d in dimensions if d.key not in _PICKS]
    middle = {d.key: _middle(d) for d in rest}
    for chosen in itertools.product(*(d.samples for d in picks)):
        fixed = middle | {d.key: value for d, value in zip(picks, chosen, strict=True)}
        variants = [{d.key: value} for d in rest for value in d.samples] or [{}]
        for variant in variants:
            at = fixed | variant
            yield lambda dimension, at=at: at[dimension.key]  # type: ignore[misc]


def _middle(dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return dimension.values[0]
    if dimension.log:
        value = (dimension.low * dimension.high) ** 0.5
    else:
        value = (dimension.low + dimension.high) / 2
    return round(value) if dimension.whole else value


def _rank(key: str) -> int:
    return _PICKS.index(key) if key in _PICKS else len(_PICKS)


def _absolute(base: RunConfig, dimension: Dimension, value: Any) -> Any:
    if isinstance(value, float):
        value = float(f"{value:.4g}")  # as a person would write it
    if not dimension.relative or dimension.key == WIDTH:
        return value
    held = planned(base, dimension.key)
    if not held:
        raise ConfigError(
            f"{dimension.key}={dimension.spell()}: the plan for {base.network.name} has no number "
            "there to take multiples of; give a range of its own, such as 1e-5..1e-2:log."
        )
    if isinstance(held, int):
        return max(1, round(held * value))
    return float(f"{held * value:.4g}")


def _unused(space: Space, dimension: Dimension, check: Callable[[RunConfig], None]) -> str:
    """Why no configuration has the setting, in the words of what it would be a setting of."""
    key = dimension.key
    try:
        check(change(space.plan, key, dimension.samples[0]))
    except ConfigError as error:
        return str(error)
    return f"{key}: nothing that is searched has this setting; leave it out."
