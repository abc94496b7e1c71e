"""Two ways to begin a training, tried on its own images: which of them is likely to end better?

From published weights: a last layer on the features of a few hundred training images, measured by
cross-validation; the error of half as many images says what more images would gain. From nothing:
some seconds of the planned training, measured on validation images; recorded trainings say how the
error falls from there. Where networks give maps, no last layer can be solved and nothing is
recorded: both ways are trained for as many seconds, and what is better then is chosen. No test
image is seen.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from striate.config import RunConfig
from striate.data import Dataset
from striate.data.streamed import Pixels
from striate.evaluation.metric import Metric, Scores
from striate.randomness import some_of
from striate.training.assemble import Parts, assemble
from striate.training.features import features_of
from striate.training.inference import evaluate
from striate.training.planner import growth
from striate.training.probe import choose_penalty, held_out_scores
from striate.training.step import learn

_MOST_IMAGES = 500
_FEWEST_MAPS, _MAP_PIXELS = 8, 2**22
"""Images with maps on which a short training is measured, and pixels that they have at most."""
_TIMED, _TIMED_SIZE = 48, (128, 128)
"""Images whose features tell the speed, and their height and width."""
_FLATTEST, _STEEPEST = 0.05, 0.35
"""Powers of the number of images by which an error is taken to fall."""
_VIEWS = 2
"""Views of the images of the last validation."""
_FEWEST_STEPS = 8
_MOST_EPOCHS = 40
"""Times that an image is shown, beyond which the recorded curves say nothing of a smaller set."""


@dataclass(frozen=True)
class Trial:
    """One way to begin, as it was measured, and what it promises."""

    scores: Scores
    how: str
    """In words, on what it was measured."""
    expected: float | None
    """Headline metric that is expected at the end of the whole training; None: nothing says."""
    seconds: float
    rate: float
    """Images a second whose features were computed, or that were learned from."""
    size: tuple[int, ...]
    """Height and width of these images."""

    @property
    def metric(self) -> Metric:
        """The headline metric."""
        return self.scores.metrics[0]

    def promises_more_than(self, other: "Trial") -> bool:
        """Whether it is expected to end better than another, or is better already."""
        mine, others = (_gap(trial.metric, trial.promise) for trial in (self, other))
        return mine < others

    @property
    def promise(self) -> float:
        """The headline metric by which ways to begin are compared."""
        return self.scores.headline if self.expected is None else self.expected


def try_weights(
    config: RunConfig,
    data: Dataset,
    size: Callable[[float, int], tuple[int, int]],
    left: Callable[[], float],
) -> Trial | None:
    """A last layer on published features of at most 500 training images.

    Args:
        config: Configuration of a training that starts from published weights.
        data: Images at any size; the training split alone is used.
        size: Height and width that would be planned, if the features of so many images a second
            came from images of so many pixels.
        left: Seconds that the whole training will have for features.

    Returns:
        The trial; None where there are too few images to hold some out.
    """
    began = time.monotonic()
    part = data.train.part(some_of(len(data.train), _MOST_IMAGES, "trial"))
    parts = assemble(_at(config, _TIMED_SIZE), data)
    timed = part.part(np.arange(min(_TIMED, len(part))))
    timed = replace(timed, images=_resampled(timed.images, _TIMED_SIZE))
    features_of(parts.model, timed)  # sets up
    started = time.monotonic()
    features_of(parts.model, timed)
    rate = len(timed) / (time.monotonic() - started)
    chosen = size(rate, math.prod(_TIMED_SIZE))
    few = replace(part, images=_resampled(part.images, chosen))
    parts = assemble(_at(config, chosen), replace(data, train=few))
    started = time.monotonic()
    features = features_of(parts.model, few)
    each = (time.monotonic() - started) / len(few)
    outputs = parts.data.num_outputs
    penalty, _ = choose_penalty(parts.task, features, outputs)
    whole, half = (
        held_out_scores(parts.task, features, parts.data, outputs, penalty, share)
        for share in (1.0, 0.5)
    )
    if whole is None or half is None:
        return None
    metric, least = whole.metrics[0], 0.5 / len(few)
    gap = max(least, _gap(metric, whole.headline))
    steepness = math.log2(max(gap, _gap(metric, half.headline)) / gap)
    affordable = left() / each - _VIEWS * len(data.validation)
    more = max(1.0, min(len(data.train), affordable)) / (0.8 * len(few))
    expected = _value(metric, gap * more ** -min(_STEEPEST, max(_FLATTEST, steepness)))
    how = f"by cross-validation of a last layer on {chosen[0]} × {chosen[1]} pixels"
    return Trial(whole, how, expected, time.monotonic() - began, 1 / each, chosen)


def _at(config: RunConfig, size: tuple[int, int]) -> RunConfig:
    """A configuration for images of another size, whose arithmetic is not measured."""
    training = replace(config.training, minutes=None, epochs=None, steps=1, small_share=0.0)
    return replace(config, data=replace(config.data, input_size=size), training=training)


def try_training(
    config: RunConfig, data: Dataset, seconds: float, left: Callable[[], float]
) -> Trial:
    """A training of a few seconds, with a schedule that ends then.

    Args:
        config: Configuration of the training.
        data: Training and validation images.
        seconds: Seconds of its steps.
        left: Seconds that the whole training will have.
    """
    began = time.monotonic()
    training = replace(config.training, minutes=None, ema_half_life=None)
    parts = assemble(replace(config, training=replace(training, steps=_FEWEST_STEPS)), data)
    parts.networks.train()
    started, step, progress = time.monotonic(), 0, 0.0
    while progress < 1:
        learn(parts, next(parts.loader), step=step, progress=progress, training=training)
        step += 1
        progress = min((time.monotonic() - started) / seconds, step / _FEWEST_STEPS)
    rate = step * parts.loader.batch_size / (time.monotonic() - started)
    parts.loader.close()
    most, is_map = _MOST_IMAGES, parts.task.outputs == "map"
    if is_map:
        most = min(most, max(_FEWEST_MAPS, _MAP_PIXELS // math.prod(parts.data.size)))
    index = some_of(len(data.validation), most, "trial")
    scores = evaluate(parts.model, data.validation, parts.data, index=index)
    shown = step * parts.loader.batch_size
    expected = None if is_map else _at_the_end(scores, parts, shown, rate * left())
    how = f"on validation after {shown:,} images"
    return Trial(scores, how, expected, time.monotonic() - began, rate, parts.data.size)


def _at_the_end(scores: Scores, parts: Parts, shown: int, more: float) -> float:
    """The headline metric expected after so many more images, as recorded trainings foretell it."""
    metric, num_images = scores.metrics[0], parts.loader.num_items
    gap = max(0.5 / len(scores.rows), _gap(metric, scores.headline))
    table = growth.most_similar(parts.data.num_outputs, num_images, min(parts.data.size))
    images = max(shown, min(more, _MOST_EPOCHS * num_images))
    return _value(metric, gap * table.error(1.0, images) / table.error(1.0, shown))


def _gap(metric: Metric, value: float) -> float:
    """What a score lacks: itself, or what it lacks to 1 where more is better."""
    return value if metric.lower_is_better else 1 - value


def _value(metric: Metric, gap: float) -> float:
    return gap if metric.lower_is_better else 1 - gap


def _resampled(images: Pixels, size: tuple[int, int]) -> np.ndarray:
    """Images (N, H, W, C) at another size, as RGB; uint8."""
    pixels = torch.from_numpy(np.array(images[np.arange(len(images))])).permute(0, 3, 1, 2)
    pixels = pixels.expand(-1, 3, -1, -1).float()
    smooth = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    return smooth.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
