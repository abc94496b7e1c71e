"""Views of an image whose outputs are averaged in a prediction.

A network that was trained on mirrored and shifted images predicts each of them a little
differently; the mean of its outputs errs less than any one of them, for as many times the work.
"""

from collections.abc import Iterator, Sequence

import torch

from striate.config import PredictionConfig
from striate.data.warp import Affine, Gather, Warp, mirror, translate


def num_views(prediction: PredictionConfig) -> int:
    """The number of forward passes for each image."""
    of_each_side = (3 if prediction.shift else 1) + (1 if prediction.zoom else 0)
    return (2 if prediction.mirrored else 1) * of_each_side


def views(
    shape: Sequence[int], prediction: PredictionConfig
) -> Iterator[tuple[float, Warp | None]]:
    """The views as warps with their weights, which sum to 1; None is the image itself.

    An unmoved view weighs twice a moved one, an enlarged centre as much as all of these.

    Args:
        shape: B, C, H, W of the images.
        prediction: Choice of views.

    Source: Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.6
    (multi-crop evaluation); the border is mirrored, as in the training's shifts.

    Example:
        >>> image = torch.arange(9.0).view(1, 1, 3, 3)
        >>> (half, itself), (_, mirrored) = views(image.shape, PredictionConfig(mirrored=True))
        >>> half, itself, mirrored.image(image)[0, 0, 0].tolist()
        (0.5, None, [2.0, 1.0, 0.0])
    """
    B, _, H, W = shape
    none = torch.zeros(B, dtype=torch.bool)
    flipped = Gather.of_axes(mirror(none, H), mirror(~none, W), (H, W))
    sides: list[Gather | None] = [None, flipped] if prediction.mirrored else [None]
    share = 1 / len(sides) / (1 if prediction.zoom is None else 2)
    for side in sides:
        if not prediction.shift:
            yield share, side
        else:
            yield share / 2, side
            for distance in (prediction.shift, -prediction.shift):
                move = torch.full((B,), distance)
                moved = Gather.of_axes(translate(move, H), translate(move, W), (H, W))
                yield share / 4, moved if side is None else side.then(moved)
        if prediction.zoom is not None:
            turned = -1.0 if side is flipped else 1.0
            matrix = prediction.zoom * torch.tensor([[turned, 0.0, 0.0], [0.0, 1.0, 0.0]])
            yield share, Affine(matrix.expand(B, 2, 3), (H, W), mode="bicubic")
