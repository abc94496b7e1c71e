"""Align two thumbnails, then compare them: do they show one picture?

One may be cut slightly tighter than the other, so that a small shift and stretch are estimated
first (inverse compositional Gauss-Newton, Baker and Matthews 2004, "Lucas-Kanade 20 years on",
from coarse to fine). What is compared afterwards does not depend on brightness or contrast.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from striate.data.near_duplicates.descriptor import grey_of

# Halvings of the thumbnail at which the steps are taken, and how many: coarse steps reach far.
_LEVELS = ((4, 4), (2, 4), (1, 3))
# By how much a corner may move, in halves of the width; further, it is another picture.
_FARTHEST = 0.4
# Pairs laid over each other at once: 2,048 of them need about 60 MB.
_AT_ONCE = 2048
# Grey levels of compression and rounding in a detail that should be flat.
_NOISE = 3.0


class Agreement(NamedTuple):
    """How well pairs of thumbnails agree; each (N,)."""

    coarse: np.ndarray
    """Correlation of grey values over the common part."""
    fine: np.ndarray
    """Correlation of details: the local mean is taken off and the local contrast evened out, so
    that a horizon or an outline alone, however strong, is no agreement."""
    detail: np.ndarray
    """How much of that there is: its deviation, in grey levels, in the plainer of the two."""
    overlap: np.ndarray
    """Share of the second thumbnail that the first one covers."""


def align(
    first: UInt8[np.ndarray, "N S S C"],
    second: UInt8[np.ndarray, "N S S C"],
    *,
    strict: bool = False,
) -> Agreement:
    """Measure how well pairs agree once the first is shifted and stretched onto the second.

    Args:
        first: Thumbnails.
        second: Their partners, row by row.
        strict: Whether to interpolate by cubics and blur both equally, so that what stretching a
            copy has cost is not taken for a difference: for sets of similar pictures, where the
            last per cent of agreement decides.

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        >>> align(picture, picture // 2).coarse.round(3).tolist()
        [1.0]
    """
    parts = []
    for start in range(0, len(first), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        one, other = (torch.from_numpy(grey_of(x[some]))[:, None] for x in (first, second))
        parts.append(_align(one, other, strict))
    if not parts:
        return Agreement(*(np.zeros(0, np.float32) for _ in Agreement._fields))
    return Agreement(*(np.concatenate(values) for values in zip(*parts, strict=True)))


@torch.no_grad()
def _align(first: Tensor, second: Tensor, strict: bool) -> tuple[np.ndarray, ...]:
    # tx, ty: shift; sx, sy: stretch; in units of half the width.
    warp = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(first), 1)
    for shrink, steps in _LEVELS:
        a, b = F.avg_pool2d(first, shrink), F.avg_pool2d(second, shrink)
        warp = _steps_to(a, b, warp, steps)
    warped, covered = _apply(first, warp, "bicubic" if strict else "bilinear")
    if strict:
        warped, second = _blurred(warped), _blurred(second)
    grey = _correlation(warped, second, covered)
    rough_a, rough_b = warped - _local_mean(warped), second - _local_mean(second)
    # A local mean that reaches beyond the common part says nothing.
    inner = (F.avg_pool2d(covered, 5, stride=1, padding=2) > 0.999).float()
    fine = _correlation(_even(rough_a), _even(rough_b), inner)
    detail = torch.minimum(_deviation(rough_a, inner), _deviation(rough_b, inner))
    return tuple(v.numpy() for v in (grey, fine, detail, covered.mean((1, 2, 3))))


def _steps_to(a: Tensor, b: Tensor, warp: Tensor, steps: int) -> Tensor:
    """Take Gauss-Newton steps towards the warp that makes `a` most like `b`."""
    size = b.shape[-1]
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    u, v = axis[None, None, None, :], axis[None, None, :, None]
    padded = F.pad(b, (1, 1, 1, 1), mode="replicate")
    bx = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) * (size / 4)
    by = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) * (size / 4)
    slopes = torch.cat([bx, by, bx * u, by * v], 1).flatten(2)  # N 4 P
    for _ in range(steps):
        warped, covered = _apply(a, warp)
        ca, cb = _centred(warped, covered), _centred(b, covered)
        gain = (ca * cb).sum((1, 2, 3), keepdim=True) / (ca * ca).sum((1, 2, 3), keepdim=True)
        residual = (ca * gain.nan_to_num(1.0).clamp(0.2, 5.0) - cb).flatten(2)  # N 1 P
        seen = slopes * covered.flatten(2)
        normal = seen @ slopes.mT
        trace = normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        # A small ridge keeps the step finite where the picture has no slope in one direction.
        normal = normal + (1e-3 * trace + 1e-3) * torch.eye(4)
        step = torch.linalg.solve(normal, seen @ residual.mT)[..., 0]
        step = step.clamp(-0.15, 0.15)
        stretch = warp[:, 2:] / (1 + step[:, 2:])
        shift = warp[:, :2] - stretch * step[:, :2]
        warp = torch.cat([shift, stretch], 1)
        far = (shift.abs() + (stretch - 1).abs()).amax(1, keepdim=True) > _FARTHEST
        warp = torch.where(far, torch.tensor([0.0, 0.0, 1.0, 1.0]), warp)
    return warp


def _apply(a: Tensor, warp: Tensor, mode: str = "bilinear") -> tuple[Tensor, Tensor]:
    """`a` at the shifted and stretched points, and which of them lie inside."""
    size = a.shape[-1]
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    x = warp[:, 0, None] + warp[:, 2, None] * axis
    y = warp[:, 1, None] + warp[:, 3, None] * axis
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    warped = F.grid_sample(a, grid, mode=mode, padding_mode="border", align_corners=False)
    edge = 1 + 1e-4
    inside = (y.abs() <= edge)[:, :, None] & (x.abs() <= edge)[:, None, :]
    return warped, inside[:, None].float()


def _blurred(x: Tensor) -> Tensor:
    """By binomial weights, down and across: a Gaussian with a deviation of 1.2 pixels."""
    weights = torch.tensor([1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0]) / 64
    padded = F.pad(x, (3, 3, 3, 3), mode="replicate")
    return F.conv2d(padded, (weights[:, None] * weights)[None, None])


def _local_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)


def _even(x: Tensor) -> Tensor:
    """Details divided by their own deviation in fields of 7 × 7, where they are above noise."""
    power = F.avg_pool2d(F.pad(x * x, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    return x / (power.sqrt() + _NOISE)


def _centred(x: Tensor, weight: Tensor) -> Tensor:
    """The weighted distance from the weighted mean."""
    count = weight.sum((1, 2, 3), keepdim=True).clamp(min=1)
    return (x - (x * weight).sum((1, 2, 3), keepdim=True) / count) * weight


def _correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    a, b = _centred(a, weight), _centred(b, weight)
    spread = ((a * a).sum((1, 2, 3)) * (b * b).sum((1, 2, 3))).sqrt()
    return (a * b).sum((1, 2, 3)) / spread.clamp(min=1e-6)


def _deviation(a: Tensor, weight: Tensor) -> Tensor:
    count = weight.sum((1, 2, 3)).clamp(min=1)
    return ((a * a * weight).sum((1, 2, 3)) / count).sqrt()
