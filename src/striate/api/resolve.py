"""From a request to the whole configuration of a training, before it begins."""

from dataclasses import replace
from typing import NamedTuple

from striate.api import classical
from striate.api.request import Request
from striate.config import RunConfig
from striate.data import ImageSpec, Source, open_source, survey
from striate.data.cache import why_streamed
from striate.data.locate import placed
from striate.errors import ConfigError, DataError
from striate.recipes import RECIPES
from striate.registry import Pick
from striate.settings import Settings, checked, merge
from striate.tasks import TASKS, recognised, task_named
from striate.terminal import Reporter
from striate.training import transfer
from striate.training.assemble import check_config
from striate.training.planner import Decision, MeasureSpeed, decide
from striate.training.speed import training_speed


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
) -> Resolved:
    """Decide the configuration of a training, with the reason for each decision.

    Args:
        request: What to train.
        speed: Tells how fast a network trains here; None: plan without measuring.
        reporter: Receives the progress of downloads; None: nobody.

    Raises:
        ConfigError, DataError.
    """
    reporter = reporter or Reporter()
    asked = request.assigned
    lengths = {name: getattr(request, name) for name in ("epochs", "steps", "minutes", "seed")}
    training = {name: value for name, value in lengths.items() if value is not None}
    if training:
        asked = merge(asked, {"training": training})
    if request.task is not None:
        asked = merge(asked, {"task": {"name": task_named(request.task)}})
    if request.pretrained is None:
        asked = checked(asked)
        if request.network is not None:
            asked = merge({"network": {"name": request.network}}, asked)
    data = {
        "strict": request.strict or None,
        "leaks": request.leaks,
        "groups": request.groups,
        "target_pattern": request.target_pattern,
    }
    data = {name: value for name, value in data.items() if value is not None}
    if data:
        asked = merge(asked, {"data": data})
    if classical.is_classical(request.network or asked.get("network")):
        if request.pretrained is not None or request.freeze is not None:
            raise ConfigError(
                f"{request.network} has no published weights; leave out --pretrained."
            )
        return Resolved(*classical.plan(request.data, asked))
    own = asked
    if request.pretrained is not None:
        if str(request.data) not in RECIPES:
            open_source(str(request.data))  # a mistyped path is reported before a download
        asked = transfer.weights_settings(
            asked,
            request.pretrained,
            network=request.network,
            freeze=request.freeze,
            progress=reporter.progress,
        )
        asked = checked(asked)  # complete only with what the weights bring
    elif request.freeze is not None:
        raise ConfigError("--freeze is for features from published weights: add --pretrained NAME.")
    config, choices, source = _resolve(request, asked, speed)
    choices = transfer.explained(choices, own, config)
    check_config(config)
    return Resolved(config, choices, source)


def _resolve(
    request: Request, asked: Settings, speed: MeasureSpeed | None
) -> tuple[RunConfig, list[Decision], Source]:
    """The configuration: of the recipe where the data name one, else planned from a survey."""
    name = str(request.data)
    if request.is_recipe:
        recipe = RECIPES.build(Pick(name))
        config = RunConfig.from_json(merge(recipe.to_json(), asked))
        source = open_source(config.data.source, config.data.target_pattern)
        return config, [Decision("recipe", name, RECIPES.describe(name))], source
    source = open_source(name, asked.get("data", {}).get("target_pattern"))
    look = survey(source)
    claim = None if "name" in asked.get("task", {}) else recognised(source)
    if claim is not None:
        asked = merge(asked, {"task": {"name": claim[0]}})
    task = TASKS.build(Pick.from_json(merge({"name": "classification"}, asked.get("task", {}))))
    if "category" in task.needs and not look.class_names:
        raise DataError(f"{source.title} names no classes: the list needs a column 'label'.")
    config, choices = decide(placed(name), look, asked, speed, task)
    if claim is not None:
        choices = [Decision("task", *claim), *choices]
    data = config.data
    if "streaming" in asked.get("data", {}) or not source.random_access:
        return config, choices, source
    reason = why_streamed(look.num_images, ImageSpec(data.input_size, data.channels, data.fit))
    if reason is not None:
        # It stays with the run, which is resumed in the same way however much room there is then.
        config = replace(config, data=replace(data, streaming=True))
        shown = "streamed: each image is decoded when needed"
        choices = [*choices, Decision("reading", shown, reason)]
    return config, choices, source
