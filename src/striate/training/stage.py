"""Stages of a training whose steps cost differently: frozen features, small images."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from striate.config import TrainingConfig
from striate.data.batch import Batch
from striate.data.field import Field
from striate.data.warp import Affine
from striate.training.fitting import smaller


@dataclass(frozen=True)
class Stage:
    """A share of the training with what one of its steps costs."""

    end: float
    """Progress at which it ends, 0 to 1."""
    seconds: float
    """Seconds of one step."""


def stage_ends(training: TrainingConfig, frozen_share: float | None) -> tuple[float, ...]:
    """Progress at which the cost of a step changes, rising, 1 the last.

    Example:
        >>> stage_ends(TrainingConfig(batch_size=8, small_share=0.4), frozen_share=None)
        (0.4, 1.0)
    """
    ends = {training.small_share, frozen_share or 0.0, 1.0}
    return tuple(sorted(end for end in ends if end > 0))


def mean_seconds(stages: tuple[Stage, ...], begin: float, end: float = 1.0) -> float:
    """Mean cost of a step between two points of progress.

    Example:
        >>> mean_seconds((Stage(0.5, 1.0), Stage(1.0, 3.0)), begin=0.25)
        2.3333333333333335
    """
    if end <= begin:
        return next((s.seconds for s in stages if begin < s.end), stages[-1].seconds)
    total, start = 0.0, 0.0
    for stage in stages:
        total += stage.seconds * max(0.0, min(end, stage.end) - max(begin, start))
        start = stage.end
    return total / (end - begin)


def resized(
    batch: Batch, fields: Mapping[str, Field], training: TrainingConfig, progress: float
) -> Batch:
    """The batch as this part of the training sees it: made smaller in its first share.

    Args:
        batch: Items of a step.
        fields: Fields beside the image, by name; they are made smaller with it.
        training: Share and scale of the smaller images.
        progress: Share of the training done.

    Source: Howard (2018), "Training Imagenet in 3 hours for 25 minutes" (progressive resizing).

    Example:
        >>> training = TrainingConfig(batch_size=8, small_share=0.5, small_scale=0.5)
        >>> batch = Batch({"image": torch.zeros(2, 3, 12, 8)}, torch.arange(2))
        >>> resized(batch, {}, training, progress=0.1)["image"].shape
        torch.Size([2, 3, 6, 4])
    """
    if progress >= training.small_share:
        return batch
    images = batch["image"]
    height, width = images.shape[2:]
    size = smaller((height, width), training.small_scale)
    unmoved = torch.eye(2, 3).expand(len(images), 2, 3)
    warp = Affine(unmoved, (height, width), (size[0], size[1]))
    for name, field in fields.items():
        batch = batch.with_field(name, field.warp(batch[name], warp))
    small = functional.interpolate(
        images, size=list(size), mode="bilinear", align_corners=False, antialias=True
    )
    return batch.with_field("image", small)
