"""From what a person asks for to everything that a training follows, before it begins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from striate.api import classical
from striate.config import RunConfig
from striate.data import Source, open_source, survey
from striate.data.locate import placed
from striate.errors import ConfigError
from striate.recipes import RECIPES
from striate.registry import Pick
from striate.settings import Settings, checked, merge, parse_assignments
from striate.terminal import Reporter
from striate.training import transfer
from striate.training.assemble import check_config
from striate.training.planner import Choice, advise
from striate.training.planner.reading import decide_reading
from striate.training.speed import training_speed

__all__ = ["Resolved", "resolve"]


class Resolved(NamedTuple):
    """Everything that a training follows, before it begins."""

    config: RunConfig
    choices: list[Choice]
    source: Source


def resolve(
    data: str | Path,
    *,
    network: str | None = None,
    pretrained: str | Path | None = None,
    freeze: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    strict: bool = False,
    leaks: Literal["stop", "allow", "drop"] | None = None,
    groups: str | None = None,
    settings: Mapping[str, Any] | None = None,
    assignments: tuple[str, ...] = (),
    reporter: Reporter | None = None,
) -> Resolved:
    """What `train` would follow, with the reasons, and the opened source; see there.

    Raises:
        ConfigError, DataError.
    """
    reporter = reporter or Reporter()
    given = {"epochs": epochs, "steps": steps, "minutes": minutes, "seed": seed}
    training = {key: value for key, value in given.items() if value is not None}
    asked: Settings = merge(dict(settings or {}), parse_assignments(assignments))
    asked = merge(asked, {"training": training} if training else {})
    if pretrained is None:
        asked = checked(asked)
    if network is not None and pretrained is None:
        asked = merge({"network": {"name": network}}, asked)
    if strict:
        asked = merge(asked, {"data": {"strict": True}})
    if leaks is not None:
        asked = merge(asked, {"data": {"leaks": leaks}})
    if groups is not None:
        asked = merge(asked, {"data": {"groups": groups}})
    if classical.is_classical(network or asked.get("network")):
        if pretrained is not None or freeze is not None:
            raise ConfigError(f"{network} has no published weights; leave out --pretrained.")
        return Resolved(*classical.plan(data, asked))
    own = asked
    if pretrained is not None:
        if str(data) not in RECIPES:
            open_source(str(data))  # a path mistyped is told before a download
        asked = transfer.weights_settings(
            asked, pretrained, network=network, freeze=freeze, progress=reporter.progress
        )
        asked = checked(asked)  # whole only with what the weights bring
    elif freeze is not None:
        raise ConfigError("--freeze is for features from published weights: add --pretrained NAME.")
    config, choices, source = _resolve(data, asked)
    choices = transfer.explained(choices, own, config)
    check_config(config)
    return Resolved(config, choices, source)


def _resolve(data: str | Path, asked: Settings) -> tuple[RunConfig, list[Choice], Source]:
    """The configuration, from a recipe where the data are one's name, else by looking at them."""
    name = str(data)
    if name in RECIPES and not Path(name).exists():
        recipe = RECIPES.build(Pick(name))
        config = RunConfig.from_json(merge(recipe.to_json(), asked))
        source = open_source(config.data.source)
        return config, [Choice("recipe", name, RECIPES.describe(name))], source
    source = open_source(name)
    look = survey(source)
    config, choices = advise(placed(name), look, asked, training_speed)
    config, reading = decide_reading(config, asked, source, look.num_images)
    return config, [*choices, *reading], source
