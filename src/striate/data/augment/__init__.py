"""Random changes of whole batches that keep the meaning of an image.

Three kinds, each drawn from a generator of its own on the CPU, a few numbers an image, so that a
seed gives the same batch on every device:

- geometric: `(shape, generator, ...)` draws a `Warp` that moves the image and everything that
  belongs to it (mask, boxes, points);
- pixel: `(images, generator, ...)` changes values in [0, 1] and moves nothing;
- mixing: `(images, target, generator, num_classes=...)` blends two items and their classes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from striate.data.augment.draw import Showing
from striate.data.augment.geometric import (
    affine,
    crop,
    flip,
    resized_crop,
    shift,
    window_size,
)
from striate.data.augment.mixing import cutmix, mixup
from striate.data.augment.pixel import colour, erase
from striate.data.field import Category, Field
from striate.data.warp import Gather, Warp
from striate.errors import ConfigError
from striate.randomness import generator as named_generator
from striate.registry import Pick, Registry

_WHOLE_PIXELS: dict[str, Any] = {"flip": flip, "shift": shift}
_GEOMETRIC: dict[str, Any] = {
    **_WHOLE_PIXELS,
    "resized_crop": resized_crop,
    "crop": crop,
    "affine": affine,
}
_PIXEL: dict[str, Any] = {"colour": colour, "erase": erase}
_MIXING: dict[str, Any] = {"mixup": mixup, "cutmix": cutmix}

AUGMENTATIONS: Registry[Any] = Registry("augmentation", {**_GEOMETRIC, **_PIXEL, **_MIXING})

OFFERED = ("shape", "images", "target", "generator", "num_classes", "flip_parity")
"""Arguments of an augmentation that the loader supplies."""

_MIXED = "category"
"""Field that mixing augmentations blend together with the images."""


def shown_size(picks: Sequence[Pick], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the images that a network learns from, after all augmentations.

    Args:
        picks: Names and arguments of the augmentations.
        size: Height and width before them, pixels.

    Raises:
        ConfigError: the size of a window that is none.

    Example:
        >>> shown_size([Pick("flip"), Pick("crop", size=(32, 48))], (64, 64))
        (32, 48)
    """
    for pick in picks:
        if pick.name == "crop":
            size = window_size(pick.arguments.get("size"))
    return size


class Augmenter:
    """The augmentations of a run in their order.

    Args:
        picks: Names and arguments of the augmentations.
        fields: What an item holds beside its image, by name.
        seed: Seed of the training; each augmentation has its own stream at each step.

    Raises:
        ConfigError: an unknown argument, or a mixing augmentation of items without one class each.
    """

    def __init__(self, picks: Sequence[Pick], fields: Mapping[str, Field], seed: int) -> None:
        self._seed, self._fields = seed, fields
        self._names = [pick.name for pick in picks]
        self._functions = [AUGMENTATIONS.bind(pick, OFFERED) for pick in picks]
        for position, name in enumerate(self._names):
            if name not in _MIXING:
                continue
            category = fields.get(_MIXED)
            if not isinstance(category, Category):
                raise ConfigError(
                    f"The augmentation {name!r} blends two images and their classes; these items "
                    f"have no single class ({', '.join(fields) or 'no fields'}). Leave it out."
                )
            self._functions[position] = partial(
                self._functions[position], num_classes=len(category.names)
            )
        self._alternating = {
            position
            for position, name in enumerate(self._names)
            if "flip_parity" in AUGMENTATIONS.parameters(name)
        }
        moving = [name in _WHOLE_PIXELS for name in self._names]
        self._num_leading = moving.index(False) if False in moving else len(moving)

    def __len__(self) -> int:
        return len(self._functions)

    @property
    def num_leading(self) -> int:
        """The number of augmentations at the start that only move whole pixels."""
        return self._num_leading

    def leading_warp(self, shape: Sequence[int], step: int, showing: Showing | None) -> Gather:
        """All leading augmentations that only move whole pixels, as one choice of pixels.

        Args:
            shape: B, C, H, W of the images.
            step: Step of the training.
            showing: Items of the batch; alternating flips need it.
        """
        whole = Gather.identity(shape[0], (shape[2], shape[3]))
        for position in range(self._num_leading):
            whole = whole.then(self._warp(position, shape, step, showing))
        return whole

    def __call__(
        self,
        batch: Mapping[str, Tensor],
        step: int,
        *,
        start: int = 0,
        showing: Showing | None = None,
    ) -> dict[str, Tensor]:
        """The fields of a step's batch after the augmentations from the `start`-th on.

        Args:
            batch: Fields by name; "image" holds (B, C, H, W) with values in [0, 1].
            step: Step of the training.
            start: Position of the first augmentation to apply.
            showing: Items of the batch; alternating flips need it.
        """
        changed = dict(batch)
        for position in range(start, len(self)):
            name, images = self._names[position], changed["image"]
            function = self._functions[position]
            if name in _GEOMETRIC:
                warp = self._warp(position, images.shape, step, showing)
                changed = {**self.warp_fields(changed, warp), "image": warp.image(images)}
            elif name in _PIXEL:
                changed["image"] = function(images, self._generator(position, step))
            else:
                draw = self._generator(position, step)
                changed["image"], changed[_MIXED] = function(images, changed[_MIXED], draw)
        return changed

    def warp_fields(self, batch: Mapping[str, Tensor], warp: Warp) -> dict[str, Tensor]:
        """The batch with every field but the image moved by a warp."""
        return {
            name: self._fields[name].warp(value, warp) if name in self._fields else value
            for name, value in batch.items()
        }

    def _warp(self, position: int, shape: Sequence[int], step: int, showing: Showing | None) -> Any:
        offered = {}
        if position in self._alternating and showing is not None:
            offered["flip_parity"] = showing.flip_parity(self._seed, position)
        return self._functions[position](shape, self._generator(position, step), **offered)

    def _generator(self, position: int, step: int) -> torch.Generator:
        return named_generator(self._seed, "augmentation", position, self._names[position], step)
