"""Random changes of whole batches that keep the meaning of an image.

Each augmentation is a function of a batch in [0, 1]: `(images, target, generator, ...)` gives
`(images, target)`. Chance comes from the generator, or from what the loader says of the showing,
and is drawn on the CPU, a few numbers an image, so that a seed gives the same batch on every
device.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from striate.data.augment.draw import Showing
from striate.data.augment.mixing import cutmix, mixup
from striate.data.augment.pixel import colour, erase
from striate.data.augment.place import PLACES, affine, flip, resized_crop, shift
from striate.randomness import generator as named_generator
from striate.registry import Pick, Registry

__all__ = [
    "AUGMENTATIONS",
    "OFFERED",
    "Augmenter",
    "Showing",
    "affine",
    "augmenter",
    "colour",
    "cutmix",
    "erase",
    "flip",
    "mixup",
    "resized_crop",
    "shift",
]

AUGMENTATIONS: Registry[tuple[Tensor, Tensor]] = Registry(
    "augmentation",
    {
        "flip": flip,
        "shift": shift,
        "resized_crop": resized_crop,
        "affine": affine,
        "colour": colour,
        "erase": erase,
        "mixup": mixup,
        "cutmix": cutmix,
    },
)

OFFERED = ("images", "target", "generator", "num_classes", "odd")
"""Arguments of an augmentation that the loader supplies."""


class Augmenter:
    """The augmentations of a run in their order: a function (images, target, step).

    Args:
        picks: the augmentations.
        num_classes: K.
        seed: of the training; each augmentation has its own stream at each step.
    """

    def __init__(self, picks: Sequence[Pick], num_classes: int, seed: int) -> None:
        self._seed = seed
        self._bound = []
        for pick in picks:
            taken = AUGMENTATIONS.parameters(pick.name)
            function = AUGMENTATIONS.bind(pick, OFFERED)
            if "num_classes" in taken:
                function = partial(function, num_classes=num_classes)
            self._bound.append((pick.name, function, "odd" in taken))
        movers = [PLACES.get(pick.name) for pick in picks]
        self._moves = [
            partial(move, **pick.arguments)
            for pick, move in zip(picks, movers, strict=True)
            if move is not None
        ][: movers.index(None) if None in movers else None]

    def __call__(
        self,
        images: Tensor,
        target: Tensor,
        step: int,
        start: int = 0,
        showing: Showing | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The images and targets of a step after the augmentations from the `start`-th on."""
        for place, (_, function, _) in list(enumerate(self._bound))[start:]:
            offered = self._offered(place, showing)
            images, target = function(images, target, self._generator(place, step), **offered)
        return images, target

    def places(
        self, shape: Sequence[int], step: int, showing: Showing | None = None
    ) -> tuple[Tensor, Tensor, int]:
        """What the leading augmentations do that only move whole pixels, as one choice of pixels.

        Args:
            shape: (B, C, H, W) of the images.
            step: of the training.
            showing: which items the images are; what alternates needs it.

        Returns:
            The rows (B, H) and columns (B, W) of each image, and how many augmentations they are.
        """
        B, C, H, W = shape
        rows, columns = torch.arange(H).expand(B, H), torch.arange(W).expand(B, W)
        for place, move in enumerate(self._moves):
            here = (B, C, rows.shape[1], columns.shape[1])
            offered = self._offered(place, showing)
            next_rows, next_columns = move(here, self._generator(place, step), **offered)
            rows, columns = rows.gather(1, next_rows), columns.gather(1, next_columns)
        return rows, columns, len(self._moves)

    def __len__(self) -> int:
        return len(self._bound)

    def _offered(self, place: int, showing: Showing | None) -> dict[str, Tensor]:
        _, _, alternates = self._bound[place]
        return {"odd": showing.odd(self._seed, place)} if alternates and showing is not None else {}

    def _generator(self, place: int, step: int) -> torch.Generator:
        return named_generator(self._seed, "augmentation", place, self._bound[place][0], step)


def augmenter(picks: Sequence[Pick], num_classes: int, seed: int) -> Augmenter:
    """A function (images, target, step) that applies the augmentations in their order.

    Args:
        picks: the augmentations.
        num_classes: K.
        seed: of the training; each augmentation has its own stream at each step.
    """
    return Augmenter(picks, num_classes, seed)
