"""The space of a search: dimensions over the plans that each network has for the data."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.config import RunConfig
from striate.errors import ConfigError
from striate.search.dimension import Dimension
from striate.search.setting import (
    WIDTH,
    applies,
    change,
    number_at,
    spell_augmentation,
    value_at,
)
from striate.tasks import TASKS

_PICKS = ("network", "optimiser", "schedule", "loss")
"""Settings that bring arguments of their own are drawn first."""


@dataclass(frozen=True)
class Proposal:
    """One configuration of a space."""

    config: RunConfig
    values: Mapping[str, Any]
    """The setting that is trained with, by dimension; a multiple for "width"."""
    drawn: Mapping[str, Any]
    """The value that was drawn, by dimension; multiples of the plan as multiples."""


@dataclass(frozen=True)
class Space:
    """Dimensions, and the plan for each network."""

    dimensions: tuple[Dimension, ...]
    bases: Mapping[str, RunConfig]
    """Plans by network; the first is the plan for the data."""

    @property
    def plan(self) -> RunConfig:
        return next(iter(self.bases.values()))

    def propose(self, draw: Callable[[Dimension], Any]) -> Proposal:
        """A configuration with a value of each dimension that applies to it.

        Args:
            draw: Chooses the value of a dimension: a number, or one of the choices.

        Raises:
            ConfigError: A value that does not fit.
        """
        config, values, drawn = self.plan, {}, {}
        for dimension in sorted(self.dimensions, key=_rank):
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
        """The values to draw for the plan itself; empty where the space does not hold it."""
        drawn = {
            d.key: 1.0 if d.relative else value_at(self.plan, d.key)
            for d in self.dimensions
            if applies(self.plan, d.key)
        }
        inside = all(d.contains(drawn[d.key]) for d in self.dimensions if d.key in drawn)
        return drawn if inside else {}

    def plan_stored(self) -> dict[str, Any]:
        """`plan_drawn` as a search stores it: numbers, and names of choices."""
        drawn = self.plan_drawn()
        return {d.key: d.stored(drawn[d.key]) for d in self.dimensions if d.key in drawn}

    def to_json(self) -> dict[str, Any]:
        """The space as JSON values."""
        return {
            "dimensions": [dimension.to_json() for dimension in self.dimensions],
            "bases": {name: base.to_json() for name, base in self.bases.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Space":
        """The space back from `to_json`."""
        return cls(
            tuple(map(Dimension.from_json, value["dimensions"])),
            {name: RunConfig.from_json(base) for name, base in value["bases"].items()},
        )


def default_dimensions(
    bases: Mapping[str, RunConfig], fixed: Callable[[str], bool]
) -> tuple[Dimension, ...]:
    """The usual dimensions: network, width, rate, decay, batch size and augmentation.

    The ranges surround the plan: a learning rate between a quarter and four times the planned one
    holds the best of nearly every data set, and few trials cannot search further.

    Args:
        bases: The plan for each network.
        fixed: Whether a setting was chosen by a person, and is then left alone.
    """

    def around(key: str, factor: float) -> Dimension:
        return Dimension(key, (), 1 / factor, factor, log=True, relative=True)

    def is_used(dimension: Dimension) -> bool:
        key = dimension.key
        held = [number_at(base, key) for base in bases.values() if applies(base, key)]
        # a decay of 0 has no multiples
        return bool(held) and (not dimension.relative or key == WIDTH or all(held))

    plan = next(iter(bases.values()))
    names = spell_augmentation(plan)
    # Blends of two images need single classes to blend.
    task: Any = TASKS[plan.task.name]
    has_classes = "category" in task.needs
    more = [name for name in ("erase", *(["cutmix"] if has_classes else [])) if name not in names]
    stronger = [f"{names}+{name}" for name in more]
    augmentations = ("none", names, *stronger) if plan.augmentation else ("none", "shift", "erase")
    usual = [
        around(WIDTH, 2.0) if plan.pretrained is None else around("pretrained.feature_rate", 10.0),
        around("optimiser.lr", 4.0),
        around("optimiser.weight_decay", 10.0),
        Dimension("training.batch_size", (0.5, 1.0, 2.0), relative=True),
        Dimension("augmentation", augmentations),
    ]
    network = [Dimension("network", tuple(bases))] if len(bases) > 1 else []
    names_of = {WIDTH: "network.widths"}
    free = [d for d in usual if not fixed(d.key) and not fixed(names_of.get(d.key, d.key))]
    return tuple(network + [d for d in free if is_used(d)])


def space_problems(space: Space, check: Callable[[RunConfig], None]) -> list[str]:
    """Problems at the ends of a space, as sentences, each once.

    Args:
        space: Space to check.
        check: Raises ConfigError for a configuration that cannot be built.
    """
    problems: dict[str, None] = {}
    met: set[str] = set()
    for corner in _corners(space.dimensions):
        try:
            proposal = space.propose(lambda d, at=corner: at[d.key])  # type: ignore[misc]
            met.update(proposal.values)
            check(proposal.config)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    for dimension in space.dimensions:
        if dimension.key not in met and not problems:
            problems[_why_unused(space, dimension, check)] = None
    return list(problems)


def _corners(dimensions: Sequence[Dimension]) -> Iterator[dict[str, Any]]:
    """Each network with each end of each other dimension, the others in their middle."""
    picks = [d for d in dimensions if d.key in _PICKS]
    rest = [d for d in dimensions if d.key not in _PICKS]
    for chosen in itertools.product(*(d.samples for d in picks)):
        corner = {d.key: d.middle for d in rest}
        corner |= {d.key: value for d, value in zip(picks, chosen, strict=True)}
        yield from [corner | {d.key: value} for d in rest for value in d.samples] or [corner]


def _rank(dimension: Dimension) -> int:
    """The position of a dimension in the order of drawing; the sort keeps the order of equals."""
    return _PICKS.index(dimension.key) if dimension.key in _PICKS else len(_PICKS)


def _absolute(base: RunConfig, dimension: Dimension, value: Any) -> Any:
    if isinstance(value, float):
        value = float(f"{value:.4g}")  # as a person would write it
    if not dimension.relative or dimension.key == WIDTH:
        return value
    planned = number_at(base, dimension.key)
    if not planned:
        raise ConfigError(
            f"{dimension.key}={dimension.spell()}: the plan for {base.network.name} has no number "
            "there to take multiples of; give a range of its own, such as 1e-5..1e-2:log."
        )
    if isinstance(planned, int):
        return max(1, round(planned * value))
    return float(f"{planned * value:.4g}")


def _why_unused(space: Space, dimension: Dimension, check: Callable[[RunConfig], None]) -> str:
    """The reason why no configuration of the space has a setting."""
    try:
        check(change(space.plan, dimension.key, dimension.samples[0]))
    except ConfigError as error:
        return str(error)
    return f"{dimension.key}: nothing that is searched has this setting; leave it out."
