"""Grey images and their gradients, from which histograms of gradients are made."""

import numpy as np
import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness: ITU-R BT.601, as Pillow turns colour into grey."""


def grey(images: np.ndarray) -> Tensor:
    """(N, H, W) float32 brightness between 0 and 255.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
    """
    x = torch.from_numpy(np.array(images)).float()
    return x[..., 0] if x.shape[-1] == 1 else x @ torch.tensor(_LUMA)


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences down and to the right, (N, H, W) each; 0 at the borders they would cross.

    Args:
        images: (N, H, W).
    """
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    down[:, 1:-1] = images[:, 2:] - images[:, :-2]
    right[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    return down, right
