"""The end of a training: the requested steps, or those that fit into its minutes, by measuring.

The first estimate comes from a few steps of each stage on a copy of the network. While the training
runs the estimate is corrected by the steps themselves, so that the schedule ends when the time
does.
"""

import math
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from typing import cast

from torch import nn

from striate.config import RunConfig
from striate.data.dataset import Dataset
from striate.optim.layout import copied
from striate.training.assemble import Parts
from striate.training.plan import Plan
from striate.training.stage import Stage, mean_seconds, stage_ends
from striate.training.step import learn
from striate.training.transfer import FrozenFeatures
from striate.training.views import num_views

_REPEATS = 3
"""Steps of each stage that are timed, after one that sets up."""

_MEASURING = 0.04
"""Share of the budget after which one timed step of each stage must do."""
_MOST_CLOSING = 0.25
"""Share of the budget that the end may take: a training must remain."""
_HEAD_ALONE, _HEAD_FIRST = 0.9, 0.35
"""Share of the time left that the features of a solved layer may take: it alone, or before all
layers learn."""
_LAYER = 4.0
"""Seconds for the layer itself."""
_NEWS = 0.3
"""Weight of the newest stretch in the speed that is expected."""


@dataclass
class Clock:
    """Seconds that a run has used, over all its sessions.

    Args:
        used: Seconds of earlier sessions.
        started: `time.monotonic()` at the start of this one.
    """

    used: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return self.used + time.monotonic() - self.started


@dataclass
class Budget:
    """Seconds to spend, and what steps and pauses have cost so far.

    Args:
        seconds: Whole budget, from the start of the command to its end.
        clock: Clock of the run.
        stages: Measured cost of steps before the training.
        passes: Forward passes of the last validation.
        pass_seconds: Seconds of one of them; corrected when a validation is measured.
        finish: Seconds kept for report and saving.
    """

    seconds: float
    clock: Clock
    stages: tuple[Stage, ...]
    passes: int
    pass_seconds: float
    finish: float
    slower: float = 1.0
    """Cost of a step as a multiple of what was measured before."""
    pause_seconds: float = 0.0
    _since: tuple[float, int, float, float] | None = None

    def begin(self, step: int, progress: float) -> None:
        """Start a stretch of steps to be measured."""
        self._since = (self.clock.seconds(), step, progress, 0.0)

    @property
    def closing(self) -> float:
        """Seconds that follow the last step."""
        wanted = self.finish + self.passes * self.pass_seconds
        return min(wanted, _MOST_CLOSING * self.seconds)

    def validated(self, passes: int, seconds: float) -> None:
        """Take note of what a validation cost."""
        self.pass_seconds = seconds / max(1, passes)

    def paused(self, seconds: float, again: bool = True) -> None:
        """Take note of time spent between steps (validation, checkpoint).

        Args:
            seconds: Seconds that are no steps.
            again: Whether such pauses are to come again.
        """
        if again:
            self.pause_seconds = max(seconds, 0.5 * self.pause_seconds)
        if self._since is not None:
            began, step, progress, pauses = self._since
            self._since = (began, step, progress, pauses + seconds)

    def steps_left(self, step: int, progress: float, pauses_left: float) -> int:
        """Steps that still fit, when so many pauses are to come.

        Recent stretches count more than old ones, but none alone: a machine that is shared has
        slow moments that do not last.
        """
        if self._since is not None and step > self._since[1]:
            began, first, from_progress, pauses = self._since
            stretch = (self.clock.seconds() - began - pauses) / (step - first)
            slower = stretch / mean_seconds(self.stages, from_progress, progress)
            self.slower += _NEWS * (slower - self.slower)
        left = self.seconds - self.clock.seconds() - self.closing
        expected = self.slower * mean_seconds(self.stages, progress)
        return int((left - pauses_left * self.pause_seconds) / max(expected, 1e-6))


def most_steps(config: RunConfig, parts: Parts) -> int:
    """The steps of the shorter of `steps` and `epochs`; no limit where neither is set.

    No step where all that learns is a last layer, and that is solved.
    """
    training, pretrained = config.training, config.pretrained
    if pretrained is not None and pretrained.head == "solved" and pretrained.freeze == 1:
        return 0
    limits = [sys.maxsize]
    if training.steps is not None:
        limits.append(training.steps)
    if training.epochs is not None:
        limits.append(max(1, round(training.epochs * parts.loader.steps_per_epoch)))
    return min(limits)


def head_seconds(config: RunConfig, clock: Clock, finish: float) -> float | None:
    """Seconds for the features of a last layer that is solved; None where no clock ends it.

    Where that is all, they are those of the images of the last validation, too.
    """
    if config.training.minutes is None or config.pretrained is None:
        return None
    left = max(1.0, 60 * config.training.minutes - clock.seconds() - finish)
    if config.pretrained.freeze != 1:
        return _HEAD_FIRST * left
    return _HEAD_ALONE * (left - min(_LAYER, 0.2 * left))


def time_budget(
    config: RunConfig, data: Dataset, parts: Parts, clock: Clock, finish: float
) -> Budget | None:
    """The time to spend, where there is one, with what steps cost here.

    Args:
        config: Configuration of the training.
        data: Data whose validation images are predicted at the end.
        parts: Parts of the training.
        clock: Clock of the run.
        finish: Seconds that are needed after the last prediction.
    """
    minutes = config.training.minutes
    if minutes is None or most_steps(config, parts) == 0:
        return None
    stages = measure_stages(config, parts)
    step = stages[-1].seconds / parts.loader.batch_size
    return Budget(
        60 * minutes,
        clock,
        stages,
        passes=len(data.validation) * num_views(config.prediction),
        pass_seconds=step / 3,  # a forward pass, until a validation is measured
        finish=finish,
    )


def first_plan(most: int, budget: Budget | None) -> Plan:
    """The plan to begin with: `most` steps, or as many as the budget has time for."""
    if budget is None:
        return Plan.of(most)
    # A tenth is kept for pauses and the end, until they are measured.
    return Plan.of(min(most, max(1, int(0.9 * budget.steps_left(0, 0.0, 0.0)))))


def measure_stages(config: RunConfig, parts: Parts) -> tuple[Stage, ...]:
    """The cost of a step of each stage, measured on copies that are thrown away."""
    pretrained = config.pretrained
    share = None if pretrained is None else pretrained.freeze
    copy, optimisers = copied(parts.networks.train(), parts.optimisers)
    networks = cast(nn.ModuleDict, copy)
    trial = replace(parts, networks=networks, optimisers=optimisers, average=None, frozen=None)
    if pretrained is not None:
        trial.frozen = FrozenFeatures.of(trial.whole, pretrained)
    stages: list[Stage] = []
    begin = 0.0
    most = (
        math.inf if config.training.minutes is None else _MEASURING * 60 * config.training.minutes
    )
    began = time.perf_counter()
    for end in stage_ends(config.training, share):
        times: list[float] = []
        for step in range(_REPEATS + 1):
            if len(times) > 1 and time.perf_counter() - began > most:
                break  # slow steps: the training corrects what is expected of them
            started = time.perf_counter()
            batch = parts.loader.batch(step)
            learn(trial, batch, step=step, progress=begin, training=config.training)
            times.append(time.perf_counter() - started)
        stages.append(Stage(end, statistics.median(times[1:])))  # the first sets up
        begin = end
    return tuple(stages)
