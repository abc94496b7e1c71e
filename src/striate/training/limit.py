"""The end of a training: the requested steps, or those that fit into its time."""

import statistics
import sys
import time
from dataclasses import replace
from typing import cast

from torch import nn

from striate.config import RunConfig
from striate.data.dataset import Dataset
from striate.optim.layout import copied
from striate.training.assemble import Parts
from striate.training.budget import Budget, Clock
from striate.training.plan import Plan
from striate.training.stage import Stage, stage_ends
from striate.training.step import learn
from striate.training.transfer import FrozenFeatures
from striate.training.views import num_views

__all__ = ["first_plan", "measure_stages", "most_steps", "time_budget"]

_REPEATS = 3
"""Steps of each stage that are timed, after one that sets up."""


def most_steps(config: RunConfig, parts: Parts) -> int:
    """The steps of the shorter of `steps` and `epochs`; no limit where neither was given."""
    training = config.training
    limits = [sys.maxsize]
    if training.steps is not None:
        limits.append(training.steps)
    if training.epochs is not None:
        limits.append(max(1, round(training.epochs * parts.loader.steps_per_epoch)))
    return min(limits)


def time_budget(
    config: RunConfig, data: Dataset, parts: Parts, clock: Clock, finish: float
) -> Budget | None:
    """The time to spend, where there is one, with what steps cost here.

    Args:
        config: of the training.
        data: whose validation images are answered at the end.
        parts: of the training.
        clock: of the time.
        finish: seconds that are needed after the last answer.
    """
    minutes = config.training.minutes
    if minutes is None:
        return None
    stages = measure_stages(config, parts)
    step = stages[-1].seconds / parts.loader.batch_size
    return Budget(
        60 * minutes,
        clock,
        stages,
        answers=len(data.validation) * num_views(config.prediction),
        answer_seconds=step / 3,  # a forward pass, until a validation is measured
        finish=finish,
    )


def first_plan(most: int, budget: Budget | None) -> Plan:
    """The plan to begin with: `most` steps, or as many as the budget has time for."""
    if budget is None:
        return Plan.of(most)
    # A tenth is kept for pauses and the end, until they are measured.
    return Plan.of(min(most, int(0.9 * budget.steps_left(0, 0.0, 0.0))))


def measure_stages(config: RunConfig, parts: Parts) -> tuple[Stage, ...]:
    """The cost of a step of each stage, measured on copies that are thrown away."""
    share = None if config.pretrained is None else config.pretrained.freeze
    copy, optimisers = copied(parts.networks.train(), parts.optimisers)
    networks = cast(nn.ModuleDict, copy)
    trial = replace(parts, networks=networks, optimisers=optimisers, average=None, frozen=None)
    if share is not None:
        trial.frozen = FrozenFeatures(trial.whole, share)
    stages: list[Stage] = []
    begin = 0.0
    for end in stage_ends(config.training, share):
        times = []
        for step in range(_REPEATS + 1):
            started = time.perf_counter()
            batch = parts.loader.batch(step)
            learn(trial, batch, step=step, progress=begin, training=config.training)
            times.append(time.perf_counter() - started)
        stages.append(Stage(end, statistics.median(times[1:])))  # the first sets up
        begin = end
    return tuple(stages)
