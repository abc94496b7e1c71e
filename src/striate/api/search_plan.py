"""The decisions of a new search: a plan for each network, the space, the length of a trial."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from striate.api import classical
from striate.api.request import Request
from striate.api.resolve import Resolved, resolve
from striate.api.study import look
from striate.config import DataConfig, RunConfig
from striate.errors import ConfigError, ShapeError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.search import (
    Choices,
    Dimension,
    Space,
    change,
    default_dimensions,
    space_problems,
)
from striate.terminal import Reporter
from striate.training.assemble import check_choices, check_config

__all__ = ["Beginning", "check_asked"]

_LEAST_SECONDS = 3.0
"""Of a trial: below this the set-up takes all of it."""
_LEAST_VALIDATIONS = 4
"""Of a trial, so that there are points at which to give it up."""
_OTHER_NETWORK = "resnet"
"""What the planner's network is held against when nobody says; with the paper's 16 channels."""


def check_asked(
    trials: int, minutes: float | None, dimensions: tuple[Dimension, ...], request: Request
) -> None:
    """Refuse what cannot become a search, before anything is looked at.

    Raises:
        ConfigError: all problems together.
    """
    problems = []
    if trials < 2:
        problems.append(f"--trials {trials}: a search needs 2 trials or more.")
    if minutes is not None and minutes <= 0:
        problems.append(f"--minutes {minutes:g} must be above zero.")
    elif minutes is not None and 60 * minutes < _LEAST_SECONDS * trials:
        most = int(60 * minutes // _LEAST_SECONDS)
        problems.append(
            f"--minutes {minutes:g} is of the whole search: each of {trials} trials would have "
            f"{60 * minutes / max(1, trials):.3g} s and needs {_LEAST_SECONDS:g}. Give more "
            f"minutes{f', or ask for {most} trials at most' if most > 1 else ''}."
        )
    if classical.is_classical(request.network):
        problems.append(f"{request.network} is fitted in one piece, with nothing to search.")
    networks = [d for d in dimensions if d.key == "network"]
    for dimension in networks:
        names = dimension.values if isinstance(dimension, Choices) else ()
        problems += [
            f"--space network: {name!r} is no network; known: {', '.join(NETWORKS)}."
            for name in names
            if name not in NETWORKS
        ]
        if not names:
            problems.append("--space network: name the networks: network=airbench,resnet.")
    if networks and (request.network or request.pretrained):
        problems.append("The network is chosen and searched: leave out one of the two.")
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True)
class Beginning:
    """The decisions of a new search, made once for all its processes and sessions."""

    request: Request
    dimensions: tuple[Dimension, ...]
    keep: bool
    prune: bool
    started: float
    minutes: float | None
    trials: int
    reporter: Reporter

    def complete(self, resolved: Resolved) -> tuple[Resolved, dict[str, Any]]:
        """Plans, space and length of the trials; the images are decoded."""
        if classical.is_classical(resolved.config.network.name):
            raise ConfigError("The network is fitted in one piece, with nothing to search.")
        space = self._space(resolved)
        problems = space_problems(space, _checker())
        if problems:
            raise ConfigError(problems)
        for config in dict.fromkeys(base.data for base in space.bases.values()):
            look(config, resolved, self.reporter)
        space = replace(
            space, bases={name: self._timed(base) for name, base in space.bases.items()}
        )
        return resolved._replace(config=space.plan), {"space": space.to_json()}

    def _space(self, resolved: Resolved) -> Space:
        plan = resolved.config
        own = {d.key: d for d in self.dimensions}
        networks = own.get("network")
        if isinstance(networks, Choices):
            names = networks.values
        elif self.keep and self._is_open("network") and plan.pretrained is None:
            names = tuple(dict.fromkeys((plan.network.name, _OTHER_NETWORK)))
        else:
            names = (plan.network.name,)
        bases = {}
        for name in names:
            try:
                bases[name] = self._base(resolved, name)
            except (ConfigError, ShapeError):
                if networks is not None or name == plan.network.name:
                    raise  # one that nobody asked for is left out
        usual = default_dimensions(bases, self._is_fixed) if self.keep else ()
        fixed = [key for key in own if self._is_fixed(key)]
        if fixed:
            raise ConfigError(
                [f"{key} is set with --set and searched too: leave out one." for key in fixed]
            )
        kept = tuple(d for d in usual if d.key not in own)
        if not kept and not own:
            raise ConfigError("Everything is set, and nothing is left to search.")
        return Space((*kept, *self.dimensions), bases)

    def _base(self, resolved: Resolved, name: str) -> RunConfig:
        """The plan for the data with a network."""
        if name == resolved.config.network.name:
            config = resolved.config
        else:
            config = resolve(replace(self.request, network=name)).config
        if name == _OTHER_NETWORK and "width" not in config.network.arguments:
            config = change(config, "network.width", 16)
        check_config(config)
        return config

    def _timed(self, base: RunConfig) -> RunConfig:
        """With the length of each trial, and points to judge it at."""
        training = base.training
        if self.prune and "validations" not in self.request.assigned.get("training", {}):
            validations = max(_LEAST_VALIDATIONS, training.validations)
            training = replace(training, validations=validations)
        if self.minutes is not None:
            left = 60 * self.minutes - (time.monotonic() - self.started)
            each = max(_LEAST_SECONDS, left / self.trials) / 60
            training = replace(training, minutes=float(f"{each:.4g}"))
        return replace(base, training=training)

    def _is_open(self, group: str) -> bool:
        """Whether nobody said anything of a group of settings, nor named a recipe."""
        named = group in self.request.assigned or getattr(self.request, group, None)
        return not named and not self.request.is_recipe

    def _is_fixed(self, key: str) -> bool:
        value: Any = self.request.assigned
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return False
            value = value[part]
        return True


def _checker() -> Callable[[RunConfig], None]:
    """`check_config` for many configurations, which share a few networks and sizes."""
    known: set[tuple[Pick, DataConfig]] = set()

    def check(config: RunConfig) -> None:
        sized = (config.network, config.data)
        (check_choices if sized in known else check_config)(config)
        known.add(sized)

    return check
