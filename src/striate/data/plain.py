"""Items as a network takes them, without augmentation."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.data.batch import Batch
from striate.data.loader import Normalisation, to_float
from striate.data.part import ImageSet
from striate.data.streamed import Pixels

__all__ = ["input_batches", "inputs_of", "plain_batch"]

_AT_ONCE = 64


def inputs_of(pixels: np.ndarray, normalise: Normalisation) -> Float[Tensor, "B C H W"]:
    """Images (B, H, W, C) uint8 as a network takes them: normalised, channels first in memory."""
    return normalise(to_float(torch.from_numpy(np.array(pixels)))).contiguous()


def input_batches(
    images: Pixels,
    normalise: Normalisation,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Float[Tensor, "B C H W"]]:
    """The inputs of images (N, H, W, C), batch after batch, none of which is kept.

    Args:
        images: Images, read as they are used.
        normalise: Normalisation of the network.
        progress: Receives how many of how many were used.
    """
    for start in range(0, len(images), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(images))
        yield inputs_of(images[start:stop], normalise)
        if progress is not None:
            progress(stop, len(images))


def plain_batch(split: ImageSet, items: np.ndarray, normalise: Normalisation) -> Batch:
    """Some of the items of a split (their indices), with all of their fields."""
    fields = {"image": inputs_of(split.images[items], normalise), **split.targets(items)}
    return Batch(fields, torch.from_numpy(items))
