"""Histograms of oriented gradients: an image as the directions of its edges, cell by cell.

Source: Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005.
"""

import math

import numpy as np
import torch

from striate.classical.grey import gradients, grey
from striate.errors import ShapeError

_CLIP = 0.2
"""No direction counts for more than this in a block (section 6.4: L2-Hys)."""
_EPSILON = 1e-5


def hog(images: np.ndarray, cell: int = 8, *, orientations: int = 9, block: int = 2) -> np.ndarray:
    """(N, F) float32 histograms of the gradients' directions, of overlapping normalised blocks.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        cell: Side of a cell, pixels; what is left over at the lower and right border is not seen.
        orientations: Directions between 0 and 180 degrees; a pixel votes for one of them.
        block: Cells a side of a block.

    Raises:
        ShapeError: images smaller than one block.

    Source: Dalal and Triggs 2005, with L2-Hys blocks and without smoothing between cells.

    Example:
        >>> stripes = np.zeros((1, 16, 16, 1), np.uint8)
        >>> stripes[:, ::4] = 255
        >>> hog(stripes, 8).shape
        (1, 36)
    """
    x = grey(images).double()
    rows, columns = x.shape[1] // cell, x.shape[2] // cell
    if min(rows, columns) < block:
        raise ShapeError(
            f"Images of {x.shape[1]} × {x.shape[2]} pixels hold {rows} × {columns} cells of "
            f"{cell}; a block needs {block} × {block}. Take smaller cells or larger images."
        )
    down, right = gradients(x)
    magnitude = torch.hypot(down, right)
    angle = torch.rad2deg(torch.atan2(down, right)) % 180
    direction = (angle * orientations / 180).floor().long() % orientations
    votes = x.new_zeros(*x.shape, orientations)
    votes.scatter_(3, direction[..., None], magnitude[..., None])
    cells = votes[:, : rows * cell, : columns * cell]
    cells = cells.reshape(len(x), rows, cell, columns, cell, orientations).mean((2, 4))
    blocks = cells.unfold(1, block, 1).unfold(2, block, 1)  # N×rows×columns×orientations×b×b
    blocks = blocks.permute(0, 1, 2, 4, 5, 3).flatten(3)
    blocks = (blocks / _norm(blocks)).clamp(max=_CLIP)
    return (blocks / _norm(blocks)).flatten(1).float().numpy()


def _norm(blocks: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(blocks.square().sum(-1, keepdim=True) + math.pow(_EPSILON, 2))
