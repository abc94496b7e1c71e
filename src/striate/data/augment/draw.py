"""What the augmentations share: types, and numbers drawn for each image."""

import torch
from jaxtyping import Float, Num
from torch import Tensor

__all__ = ["Images", "Target", "uniform"]

Images = Float[Tensor, "B C H W"]
"""A batch with values in [0, 1]."""
Target = Num[Tensor, "B"] | Float[Tensor, "B K"]
"""Classes, or a weight for each class."""


def uniform(low: float, high: float, size: int, draw: torch.Generator) -> Tensor:
    """`size` numbers between low and high."""
    return torch.rand(size, generator=draw) * (high - low) + low
