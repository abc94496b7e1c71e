"""Random changes of whole batches that keep the meaning of an image.

Each augmentation is a function of a batch in [0, 1]: `(images, target, generator, ...)` gives
`(images, target)`. Chance comes from the generator alone and is drawn on the CPU, a few numbers
an image, so that a seed gives the same batch on every device.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from striate.data.augment.mixing import cutmix, mixup
from striate.data.augment.pixel import colour, erase
from striate.data.augment.place import affine, flip, resized_crop, shift
from striate.randomness import generator as named_generator
from striate.registry import Pick, Registry

__all__ = [
    "AUGMENTATIONS",
    "OFFERED",
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

OFFERED = ("images", "target", "generator", "num_classes")
"""Arguments of an augmentation that the loader supplies."""


def augmenter(
    picks: Sequence[Pick], num_classes: int, seed: int
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """A function (images, target, step) that applies the augmentations in their order.

    Args:
        picks: the augmentations.
        num_classes: K.
        seed: of the training; each augmentation has its own stream at each step.
    """
    bound = []
    for pick in picks:
        function = AUGMENTATIONS.bind(pick, OFFERED)
        if "num_classes" in AUGMENTATIONS.parameters(pick.name):
            function = AUGMENTATIONS.bind(pick.replace(num_classes=num_classes), OFFERED[:3])
        bound.append((pick.name, function))

    def apply(images: Tensor, target: Tensor, step: int) -> tuple[Tensor, Tensor]:
        for place, (name, function) in enumerate(bound):
            draw = named_generator(seed, "augmentation", place, name, step)
            images, target = function(images, target, draw)
        return images, target

    return apply
