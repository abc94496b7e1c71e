"""Parts that the augmentations share: types, and numbers drawn for each image."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from striate.randomness import coins

Images = Float[Tensor, "B C H W"]
"""A batch with values in [0, 1]."""
Target = Num[Tensor, "B"] | Float[Tensor, "B K"]
"""Classes, or a weight for each class."""


def uniform(low: float, high: float, size: int, draw: torch.Generator) -> Tensor:
    """`size` numbers between low and high."""
    return torch.rand(size, generator=draw) * (high - low) + low


@dataclass(frozen=True)
class Showing:
    """The items of a batch: their indices in the split (B,), and the epoch of each (B,)."""

    items: np.ndarray
    epochs: np.ndarray

    def flip_parity(self, seed: int, position: int) -> Bool[Tensor, "B"]:
        """A coin for each item, turned over in each epoch.

        Args:
            seed: Seed of the training.
            position: Position of the augmentation among all; each has its own coins.
        """
        turned = coins(self.items, seed, "first showing", position) ^ (self.epochs % 2 == 1)
        return torch.from_numpy(turned)
