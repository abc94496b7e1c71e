"""Histograms of gradients of many small pictures at once: where edges run, field by field.

Source: Dalal and Triggs 2005, "Histograms of oriented gradients for human detection": square root
of the grey values, centred differences, nine unsigned orientations, fields of 8 pixels, blocks of
2×2 fields normalised with their largest values cut. An orientation between two of the nine is
shared among both; fields overlap by half, which stands for the paper's sharing among fields.
`classical.hog`, where each pixel votes for one orientation in one cell, serves worse here: with it
the classifier errs more often, and of planted label errors in photographs fewer are detected.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from striate.classical.grey import gradients

_ORIENTATIONS = 9
_CELL = 8
# The largest share of a block that one value may have, as in the paper ("L2-Hys").
_MOST = 0.2
# Keeps a block without edges at zero; the square of a mean gradient of 1 %.
_FLAT = 1e-4


@torch.no_grad()
def gradient_histograms(grey: UInt8[np.ndarray, "N S S"]) -> Float[Tensor, "N D"]:
    """Compute (N, 36·(S/8 − 1)²) float32: for 64×64 pictures 1,764 values in 0..0.2.

    Args:
        grey: Pictures whose side is a multiple of 8.

    Example:
        >>> flat = np.full((2, 16, 16), 90, np.uint8)
        >>> gradient_histograms(flat).shape, float(gradient_histograms(flat).abs().max())
        (torch.Size([2, 36]), 0.0)
    """
    down, across = gradients(torch.from_numpy(grey.astype(np.float32) / 255).sqrt())
    strength = torch.sqrt(across.square() + down.square())[:, None]
    turn = torch.remainder(torch.atan2(down, across)[:, None] / torch.pi, 1) * _ORIENTATIONS
    away = (turn - torch.arange(_ORIENTATIONS).view(1, -1, 1, 1)).abs()
    share = F.relu(1 - torch.minimum(away, _ORIENTATIONS - away))
    fields = F.avg_pool2d(strength * share, 2 * _CELL, _CELL, padding=_CELL // 2)
    power = 4 * F.avg_pool2d(fields.square().sum(1, keepdim=True), 2, 1)
    last = fields.shape[-1] - 1
    blocks = [
        (fields[:, :, y : y + last, x : x + last] * (power + _FLAT).rsqrt()).clamp(max=_MOST)
        for y in (0, 1)
        for x in (0, 1)
    ]
    return torch.cat(blocks, 1).flatten(1)
