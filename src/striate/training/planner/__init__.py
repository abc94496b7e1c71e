"""What to train when nobody said: network, input size, batch, augmentation, rate, length.

The planner looks at a quick survey of the images, measures how fast this machine trains, and
fills in every setting that a person left open. Each choice carries its reason, to be shown and
kept with the run.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from striate.config import RunConfig
from striate.data import Survey
from striate.registry import Pick
from striate.settings import Settings, merge
from striate.training.planner.draft import Choice, Draft
from striate.training.planner.images import decide_augmentation, decide_images, num_training
from striate.training.planner.length import decide_length, planned_minutes
from striate.training.planner.network import SetLook, decide_network

__all__ = ["Choice", "MeasureSpeed", "advise"]

MeasureSpeed = Callable[[int, int, tuple[int, int], int, Pick], float]
"""Training images a second here, of (classes, channels, size, batch, network)."""


def advise(
    source: str, survey: Survey, settings: Settings, measure_speed: MeasureSpeed | None = None
) -> tuple[RunConfig, list[Choice]]:
    """The resolved configuration of a training, and the choices made with their reasons.

    Args:
        source: the data's path or name, as given.
        survey: a quick look at the data.
        settings: what a person asked for, as `settings.checked` gives it; it always wins.
        measure_speed: tells how fast a network trains here; None: plan without measuring.

    Raises:
        ConfigError: settings that do not fit, all together.
    """
    draft = Draft(settings)
    num, classes = num_training(survey, settings), len(survey.class_names)
    size = decide_images(draft, survey, num)
    batch = draft.given("training.batch_size") or _batch_size(num)
    minutes = planned_minutes(settings)
    speed = None
    if measure_speed is not None and minutes is not None:
        speed = partial(measure_speed, classes, draft.planned("data.channels"), size, batch)
    seconds = 60 * (minutes or 0)
    decide_network(draft, SetLook(classes, num, size), seconds, speed)
    why = "enough steps an epoch, enough images a step"
    draft.decide("training.batch_size", "batch", batch, why)
    decide_augmentation(draft, survey, size, seconds if minutes else math.inf)
    _decide_descent(draft, batch)
    decide_length(draft, num, size)
    resolved = merge(merge(draft.plan, {"data": {"source": source}}), settings)
    return RunConfig.from_json(resolved), draft.choices


def _decide_descent(draft: Draft, batch: int) -> None:
    """Optimiser, schedule and loss."""
    optimiser, why = _optimiser(draft.plan["network"]["name"], batch)
    shown = f"{optimiser['name']}, rate {optimiser['lr']:.3g}"
    draft.decide("optimiser", "optimiser", optimiser, why, shown)
    why = "rises, then falls to zero as the time ends"
    draft.decide("schedule", "schedule", {"name": "one_cycle", "peak": 0.2}, why, "one-cycle")
    loss = {"name": "softmax_cross_entropy", "label_smoothing": 0.1}
    why = "softened targets keep the network from overconfidence"
    draft.decide("loss", "loss", loss, why, "cross-entropy, smoothing 0.1")


def _batch_size(num_images: int) -> int:
    return 32 if num_images < 2_000 else 64 if num_images < 10_000 else 128


def _optimiser(network: str, batch: int) -> tuple[dict[str, Any], str]:
    if network == "airbench":
        rate = 0.02 * (batch / 128) ** 0.5
        why = "Muon: least error for as many images; the rate grows with the batch"
        return {"name": "muon", "lr": rate, "momentum": 0.9, "weight_decay": 0.1}, why
    if network == "resnet":
        rate = 0.3 * (batch / 128) ** 0.5
        why = "Nesterov momentum; the rate grows with the batch"
        return {"name": "sgd", "lr": rate, "weight_decay": 5e-4}, why
    why = "adapts its rate to networks without normalisation"
    return {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01}, why
