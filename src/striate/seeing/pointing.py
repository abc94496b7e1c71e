"""The pointing game: does the largest value of a map lie on the object?

Two yardsticks belong to every figure: a map of noise, and one that always points at the centre,
where photographers put what they photograph.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from striate.evaluation.interval import Proportion, wilson

__all__ = ["Pointing", "pointing"]

Mask = npt.NDArray[np.bool_]

RADIUS = 15.0
"""Pixels within which a map may miss the object, of images about 300 pixels wide."""


@dataclass(frozen=True)
class Pointing:
    """Figures of the pointing game on images with one object each."""

    hits: Bool[Tensor, "N"]
    """Whether the largest value of each map lies within the radius of its object."""
    centre_hits: Bool[Tensor, "N"]
    """Whether the centre of each image does."""
    chances: Float[Tensor, "N"]
    """Share of each image that lies within the radius of its object."""

    @property
    def share(self) -> Proportion:
        """Share of the maps that hit, with its interval."""
        return wilson(int(self.hits.sum()), len(self.hits))

    @property
    def centre(self) -> Proportion:
        """Share of the images whose centre hits."""
        return wilson(int(self.centre_hits.sum()), len(self.hits))

    @property
    def chance(self) -> float:
        """Share that a map of noise hits."""
        return float(self.chances.mean())


def pointing(
    maps: Float[Tensor, "N H W"], masks: Bool[Tensor, "N H W"], *, radius: float = RADIUS
) -> Pointing:
    """Play the pointing game.

    Args:
        maps: A map for each image, at the image's size; the first of equal maxima counts.
        masks: Pixels of the object of each image, one at least.
        radius: Pixels from the object, strictly less than which is a hit.

    Source: Zhang et al., Top-down Neural Attention by Excitation Backprop (2016), section 4.1; a
    circle of 15 pixels about the maximum.

    Example:
        >>> maps, masks = torch.zeros(1, 4, 6), torch.zeros(1, 4, 6, dtype=torch.bool)
        >>> maps[0, 1, 5], masks[0, 1, 3] = 1.0, True
        >>> [bool(pointing(maps, masks, radius=r).hits) for r in (2, 2.5)]
        [False, True]
    """
    height, width = masks.shape[1:]
    near = torch.from_numpy(np.stack([_near(mask, radius) for mask in masks.numpy()]))
    best = maps.flatten(1).argmax(1)
    rows = torch.arange(len(maps))
    centre = near[:, (height - 1) // 2, (width - 1) // 2]
    return Pointing(near.flatten(1)[rows, best], centre, near.flatten(1).double().mean(1))


def _near(mask: Mask, radius: float) -> Mask:
    """Pixels less than a radius away from a mask's."""
    from scipy.ndimage import distance_transform_edt

    distances: npt.NDArray[np.floating] = distance_transform_edt(~mask)
    return np.asarray(distances < radius) if radius > 0 else mask
