"""The planner of settings that nobody gave: network, input, batch, augmentation, rate, length.

The planner takes a quick survey of the images, measures how fast this machine trains, and
fills in every setting that a person left open. Each choice carries its reason, to be shown and
kept with the run.
"""

import math
from collections.abc import Callable
from functools import partial

from striate.config import ExecutionConfig, RunConfig
from striate.data import Survey
from striate.execution.device import thread_problem
from striate.registry import Pick
from striate.settings import Settings, merge
from striate.tasks import Classification, Conditions, Task
from striate.training.planner.draft import Decision, Draft
from striate.training.planner.images import (
    channels,
    decide_augmentation,
    decide_images,
    decide_shrinking,
    is_tiny_character,
    num_training,
)
from striate.training.planner.length import (
    decide_length,
    is_by_the_clock,
    is_easy,
    planned_minutes,
)
from striate.training.planner.network import decide_network, is_hasty
from striate.training.planner.optimiser import decide_optimiser
from striate.training.planner.published import decide_validation, plan_published

__all__ = ["Decision", "MeasureSpeed", "decide"]

MeasureSpeed = Callable[[int, int, ExecutionConfig, Pick, Pick, int, tuple[int, int]], float]
"""Training images a second here, of (outputs, channels, execution, network, optimiser, batch,
size)."""


def decide(
    source: str,
    survey: Survey,
    settings: Settings,
    measure_speed: MeasureSpeed | None = None,
    task: Task | None = None,
    spent: float = 0.0,
) -> tuple[RunConfig, list[Decision]]:
    """The resolved configuration of a training, and the choices made with their reasons.

    Args:
        source: Path or name of the data.
        survey: Survey of some of the images.
        settings: A person's settings, as `settings.checked` returns them; they always win.
        measure_speed: Measures how fast a network trains here; None: plan without measuring.
        task: Task that may prefer settings; None: classification.
        spent: Seconds of the training's time that are spent before the features of published
            weights are computed.

    Raises:
        ConfigError: settings that do not fit, all together.
    """
    task = task or Classification()
    num, classes = num_training(survey, settings), task.num_outputs(survey.num_outputs)
    minutes = planned_minutes(settings)
    seconds = 60 * minutes if minutes else math.inf
    execution = ExecutionConfig(**(settings.get("execution") or {}))
    # A problem is reported with all others, not measured with.
    speed = None
    if measure_speed and minutes is not None and thread_problem(execution.threads) is None:
        speed = partial(measure_speed, classes, channels(survey, settings), execution)
    conditions = Conditions(
        num_images=num,
        num_outputs=classes,
        heights=survey.heights,
        widths=survey.widths,
        seconds=seconds,
        settings=settings,
        speed=speed,
    )
    preferred = task.suited(conditions)
    draft = Draft(settings, preferred, task.unsuited)
    # A task with a size of its own has no use for one that suits the weights.
    published = None
    if "data.input_size" not in preferred:
        published = plan_published(settings, conditions, spent)
    size = decide_images(draft, survey, num, published)
    decide_validation(draft, survey, published, num)
    hasty = draft.wanted("network") is None and is_hasty(conditions, size)
    tiny = isinstance(task, Classification) and is_tiny_character(survey, size)
    easy = is_easy(settings, num, classes, tiny_characters=tiny)
    decide_network(draft, conditions, size, hasty=hasty, easy=easy)
    zoom = None if published is None else published.zoom
    decide_augmentation(draft, survey, size, seconds, hasty=hasty, zoom=zoom)
    if is_by_the_clock(settings):
        decide_shrinking(draft, size)
    decide_optimiser(draft, hasty=hasty)
    for path, setting in preferred.items():
        if draft.planned(path) is None:
            draft.decide(path, setting.what, setting.value, setting.why)
    decide_length(draft, num, size, easy=easy)
    resolved = merge(merge(draft.plan, {"data": {"source": source}}), settings)
    return RunConfig.from_json(resolved), draft.choices
