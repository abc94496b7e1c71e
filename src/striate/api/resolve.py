"""From a request to the whole configuration of a training, before it begins."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from striate import folders
from striate.api import classical
from striate.api.request import Request
from striate.api.start import NO_WEIGHTS, Start, decide_start
from striate.config import RunConfig
from striate.data import Source, Survey, open_source, survey
from striate.data.cache import why_streamed
from striate.data.decode import spec_of
from striate.data.locate import made_absolute
from striate.data.source import Progress
from striate.errors import ConfigError, DataError
from striate.recipes import RECIPES
from striate.registry import Pick
from striate.settings import Settings, checked, merge, setting_at
from striate.tasks import TASKS, recognised, task_named
from striate.terminal import Reporter
from striate.training.assemble import check_config
from striate.training.budget import Clock
from striate.training.planner import Decision, MeasureSpeed, decide
from striate.training.speed import training_speed
from striate.training.weights import explained, weights_settings

_GROUPS = {
    "training": ("epochs", "steps", "minutes", "seed"),
    "data": ("strict", "leaks", "limit", "groups", "target_pattern"),
}
"""Fields of a request that are settings, by their group."""


class Resolved(NamedTuple):
    """Everything that a training follows, before it begins."""

    config: RunConfig
    choices: list[Decision]
    source: Source


def resolve(
    request: Request,
    *,
    speed: MeasureSpeed | None = training_speed,
    reporter: Reporter | None = None,
    clock: Clock | None = None,
) -> Resolved:
    """Decide the configuration of a training, with the reason for each decision.

    Args:
        request: What to train.
        speed: Measures how fast a network trains here; None: plan without measuring anything.
        reporter: Receives the progress of downloads; None: nobody.
        clock: Clock of the training; None: one that starts now.

    Raises:
        ConfigError, DataError.
    """
    folders.home_dir()  # the report at the end tells of its ledger: no home is said before the work
    reporter = reporter or Reporter()
    settings, values = request.assigned, request.to_json()
    for group, names in _GROUPS.items():
        wishes = {name: values[name] for name in names if name in values}
        if wishes:
            settings = merge(settings, {group: wishes})
    if request.task is not None:
        settings = merge(settings, {"task": {"name": task_named(request.task)}})
    pretrained = None if request.pretrained == NO_WEIGHTS else request.pretrained
    if pretrained is None:
        settings = checked(settings)
        if request.network is not None:
            settings = merge({"network": {"name": request.network}}, settings)
    if classical.is_classical(request.network or settings.get("network")):
        if pretrained is not None or request.freeze is not None:
            raise ConfigError(
                f"{request.network} has no published weights; leave out --pretrained."
            )
        return Resolved(*classical.plan(request.data, settings))
    own, begin = settings, Start(None, [], speed)
    seen = None if request.is_recipe else _see(request, settings, reporter.progress)
    is_open = (request.pretrained, request.freeze) == (None, None) and speed is not None
    if seen is not None and is_open:
        begin = decide_start(
            partial(_plan, request.data, seen), settings, speed, reporter, clock or Clock()
        )
        pretrained = begin.weights
    if pretrained is not None:
        settings = weights_settings(
            settings,
            pretrained,
            request.network or begin.network,
            request.freeze,
            reporter.progress,
        )
        settings = checked(settings)  # complete only with what the weights bring
    elif request.freeze is not None:
        raise ConfigError("--freeze is for features from published weights: add --pretrained NAME.")
    if seen is None:
        config, choices, source = _of_recipe(str(request.data), settings)
    else:
        config, choices, source = _plan(request.data, seen, settings, begin.speed, begin.spent)
    if begin.is_measured:  # what was found on these images says more than a guess
        choices = [choice for choice in choices if choice.what != "expected error"]
    choices = [*begin.decisions, *explained(choices, own, config)]
    check_config(config)
    return Resolved(config, choices, source)


class _Seen(NamedTuple):
    """What is known of a source before anything is planned."""

    source: Source
    surveyed: Survey
    claim: tuple[str, str] | None
    """Task that the source is evidently meant for, and why; None: a person named one, or none."""


def _see(request: Request, settings: Settings, progress: Progress) -> _Seen:
    chosen = settings.get("data", {})
    source = open_source(str(request.data), chosen.get("target_pattern"), chosen.get("limit"))
    surveyed = survey(source, progress)
    return _Seen(
        source, surveyed, None if setting_at(settings, "task.name") else recognised(source)
    )


def _plan(
    data: str | Path,
    seen: _Seen,
    settings: Settings,
    speed: MeasureSpeed | None,
    spent: float = 0.0,
) -> Resolved:
    """The configuration, planned from a survey."""
    source, surveyed, claim = seen
    if claim is not None:
        settings = merge(settings, {"task": {"name": claim[0]}})
    pick = merge({"name": "classification"}, settings.get("task", {}))
    task = TASKS.build(Pick.from_json(pick))
    if "category" in task.needs and not surveyed.class_names:
        raise DataError(source.no_classes)
    config, choices = decide(made_absolute(str(data)), surveyed, settings, speed, task, spent)
    if claim is not None:
        choices = [Decision("task", *claim), *choices]
    if "streaming" in settings.get("data", {}) or not source.random_access:
        return Resolved(config, choices, source)
    reason = why_streamed(surveyed.num_images, spec_of(config.data))
    if reason is not None:
        # It stays with the run, which is resumed in the same way however much room there is then.
        config = replace(config, data=replace(config.data, streaming=True))
        shown = "streamed: each image is decoded when needed"
        choices = [*choices, Decision("reading", shown, reason)]
    return Resolved(config, choices, source)


def _of_recipe(name: str, settings: Settings) -> Resolved:
    recipe = RECIPES.build(Pick(name))
    config = RunConfig.from_json(merge(recipe.to_json(), settings))
    source = open_source(config.data.source, config.data.target_pattern, config.data.limit)
    return Resolved(config, [Decision("recipe", name, RECIPES.describe(name))], source)
