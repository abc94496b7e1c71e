"""The plan of a new search: a plan for each network, its dimensions, the length of a trial."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from striate.api import classical
from striate.api.request import Request
from striate.api.resolve import Resolved, resolve
from striate.api.study import check_images
from striate.config import DataConfig, RunConfig
from striate.errors import ConfigError, ShapeError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.search import Dimension, Space, change
from striate.search.space import default_dimensions, space_problems
from striate.settings import setting_at
from striate.terminal import Reporter
from striate.training.assemble import build_task, check_choices, check_config, data_shape

_LEAST_SECONDS = 3.0
"""Least length of a trial: below this the set-up takes all of it."""
_LEAST_VALIDATIONS = 4
"""Validations of a trial, so that there are points at which to prune it."""
_OTHER_NETWORK = "resnet"
"""The network that the planner's is compared with by default; with the paper's 16 channels."""


def check_request(
    request: Request, trials: int, minutes: float | None, dimensions: tuple[Dimension, ...]
) -> None:
    """Refuse a request that cannot become a search, before any data are read.

    Raises:
        ConfigError: All problems together.
    """
    problems = []
    if trials < 2:
        problems.append(f"--trials {trials}: a search needs 2 trials or more.")
    if minutes is not None and minutes <= 0:
        problems.append(f"--minutes {minutes:g} must be above zero.")
    elif minutes is not None and 60 * minutes < _LEAST_SECONDS * trials:
        most = int(60 * minutes // _LEAST_SECONDS)
        problems.append(
            f"--minutes {minutes:g} is for the whole search: each of {trials} trials would have "
            f"{60 * minutes / max(1, trials):.3g} s and needs {_LEAST_SECONDS:g}. Give more "
            f"minutes{f', or ask for {most} trials at most' if most > 1 else ''}."
        )
    if classical.is_classical(request.network):
        problems.append(f"{request.network} is fitted in one piece, with nothing to search.")
    network = next((d for d in dimensions if d.key == "network"), None)
    if network is not None:
        problems += [
            f"--space network: {name!r} is no network; known: {', '.join(NETWORKS)}."
            for name in network.choices
            if name not in NETWORKS
        ]
        if not network.choices:
            problems.append("--space network: name the networks: network=airbench,resnet.")
        if request.network or request.pretrained:
            problems.append("The network is chosen and searched: leave out one of the two.")
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True)
class SearchPlan:
    """The decisions of a new search, made once for all its processes and sessions."""

    request: Request
    dimensions: tuple[Dimension, ...]
    keep: bool
    """Whether the usual dimensions stay beside `dimensions`."""
    prune: bool
    started: float
    minutes: float | None
    trials: int

    def complete(self, resolved: Resolved, reporter: Reporter) -> tuple[RunConfig, dict[str, Any]]:
        """The plan for the data and, as JSON, the whole space; the images are decoded."""
        if classical.is_classical(resolved.config.network.name):
            raise ConfigError("The network is fitted in one piece, with nothing to search.")
        bases = self._bases(resolved)
        space = Space(self._all_dimensions(bases), bases)
        problems = space_problems(space, _checker())
        if problems:
            raise ConfigError(problems)
        for config in {base.data: base for base in bases.values()}.values():
            data = check_images(config, resolved, reporter)
        task = build_task(space.plan, build_task(space.plan).prepare(data.train))
        meter = task.meter(data_shape(space.plan, data.fields))
        space = replace(space, bases={name: self._timed(base) for name, base in bases.items()})
        lower_is_better = meter.metrics[0].lower_is_better
        return space.plan, {"space": space.to_json(), "lower_is_better": lower_is_better}

    def _bases(self, resolved: Resolved) -> dict[str, RunConfig]:
        """The plan for the data with each network that is searched."""
        plan, request = resolved.config, self.request
        chosen = next((d.choices for d in self.dimensions if d.key == "network"), ())
        names = list(chosen or [plan.network.name])
        is_open = not (request.network or request.is_recipe or self._is_fixed("network"))
        if not chosen and self.keep and is_open and plan.pretrained is None:
            names.append(_OTHER_NETWORK)
        bases = {}
        for name in names:
            try:
                config = plan
                if name != plan.network.name:
                    config = resolve(replace(request, network=name)).config
                if name == _OTHER_NETWORK and "width" not in config.network.arguments:
                    config = change(config, "network.width", 16)
                check_config(config)
                bases[name] = config
            except (ConfigError, ShapeError):
                if chosen or name == plan.network.name:
                    raise  # a network that nobody chose is left out
        return bases

    def _all_dimensions(self, bases: Mapping[str, RunConfig]) -> tuple[Dimension, ...]:
        """The dimensions of the command line, after the usual ones that stay."""
        own = {d.key for d in self.dimensions}
        problems = [
            f"{key} is set with --set and searched too: leave out one."
            for key in own
            if self._is_fixed(key)
        ]
        if problems:
            raise ConfigError(problems)
        usual = default_dimensions(bases, self._is_fixed) if self.keep else ()
        dimensions = (*(d for d in usual if d.key not in own), *self.dimensions)
        if not dimensions:
            raise ConfigError("Everything is set, and nothing is left to search.")
        return dimensions

    def _timed(self, base: RunConfig) -> RunConfig:
        """The length of each trial, and enough validations to prune it at."""
        training = base.training
        if self.prune and not self._is_fixed("training.validations"):
            validations = max(_LEAST_VALIDATIONS, training.validations)
            training = replace(training, validations=validations)
        if self.minutes is not None:
            left = 60 * self.minutes - (time.monotonic() - self.started)
            each = max(_LEAST_SECONDS, left / self.trials) / 60
            training = replace(training, minutes=float(f"{each:.4g}"))
        return replace(base, training=training)

    def _is_fixed(self, key: str) -> bool:
        return setting_at(self.request.assigned, key) is not None


def _checker() -> Callable[[RunConfig], None]:
    """`check_config` for many configurations, which share a few networks and sizes."""
    known: set[tuple[Pick, DataConfig]] = set()

    def check(config: RunConfig) -> None:
        sized = (config.network, config.data)
        (check_choices if sized in known else check_config)(config)
        known.add(sized)

    return check
