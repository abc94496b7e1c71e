"""Geometric changes of a batch as values: where each pixel of an image comes from.

An augmentation or a test-time view draws one warp for each image; the loader then applies the
same warp to everything that belongs to the image: its pixels, its mask, its boxes and points.

Points and boxes are (x, y) in pixels, with the corner of the first pixel at (0, 0) and its centre
at (0.5, 0.5).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn import functional

Axis = tuple[Tensor, Tensor, Tensor]
"""Source index of each output pixel (B, N'), and sign (B, 1) and offset (B, 1) of the positions."""


class Warp(ABC):
    """One geometric change for each image of a batch."""

    size: tuple[int, int]
    """Height and width of the images, pixels."""

    @property
    @abstractmethod
    def shown(self) -> tuple[int, int]:
        """Height and width of the images after the warp, pixels."""

    @abstractmethod
    def image(self, images: Num[Tensor, "B C H W"]) -> Num[Tensor, "B C h w"]:
        """Images seen through the warp; beyond the border they are mirrored."""

    @abstractmethod
    def mask(self, masks: Int[Tensor, "B H W"], void: int) -> Int[Tensor, "B h w"]:
        """Class masks seen through the warp, nearest pixel; `void` beyond the border."""

    @abstractmethod
    def points(self, points: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N 2"]:
        """New positions (x, y) in pixels of points of the images."""

    @abstractmethod
    def inverse(self) -> "Warp":
        """The warp that undoes this one where it lost nothing."""


@dataclass(frozen=True)
class Gather(Warp):
    """A choice of whole pixels: mirroring and moving without interpolation.

    Args:
        rows: (B, h) source row of each output row.
        columns: (B, w) source column of each output column.
        signs: (B, 2) of x and y: -1 where the axis is mirrored.
        offsets: (B, 2) pixels: a point at p comes to signs · p + offsets.
        size: height and width of the source, pixels.
    """

    rows: Tensor
    columns: Tensor
    signs: Tensor
    offsets: Tensor
    size: tuple[int, int]

    @classmethod
    def of_axes(cls, vertical: Axis, horizontal: Axis, size: tuple[int, int]) -> "Gather":
        """A gather from the two axes, each with its source indices, sign and offset."""
        (rows, sign_y, offset_y), (columns, sign_x, offset_x) = vertical, horizontal
        signs = torch.cat([sign_x, sign_y], dim=1)
        return cls(rows, columns, signs, torch.cat([offset_x, offset_y], dim=1), size)

    @classmethod
    def identity(cls, num: int, size: tuple[int, int]) -> "Gather":
        """The warp that leaves `num` images as they are."""
        return cls.of_axes(_unmoved(num, size[0]), _unmoved(num, size[1]), size)

    @property
    def shown(self) -> tuple[int, int]:
        return self.rows.shape[1], self.columns.shape[1]

    def then(self, later: "Gather") -> "Gather":
        """This warp followed by another one, as one choice of pixels."""
        return Gather(
            self.rows.gather(1, later.rows),
            self.columns.gather(1, later.columns),
            later.signs * self.signs,
            later.signs * self.offsets + later.offsets,
            self.size,
        )

    def image(self, images: Num[Tensor, "B C H W"]) -> Num[Tensor, "B C h w"]:
        """Pixels of each image at its own rows and columns.

        Whole pixels are gathered from the channels-last layout: one row of C values each.
        """
        B, C, H, W = images.shape
        rows, columns = self.rows.to(images.device), self.columns.to(images.device)
        start = torch.arange(B, device=images.device).view(B, 1, 1) * (H * W)
        index = start + rows[:, :, None] * W + columns[:, None, :]
        pixels = images.permute(0, 2, 3, 1).reshape(B * H * W, C)
        taken = pixels.index_select(0, index.reshape(-1))
        return taken.view(B, rows.shape[1], columns.shape[1], C).permute(0, 3, 1, 2)

    def mask(self, masks: Int[Tensor, "B H W"], void: int) -> Int[Tensor, "B h w"]:
        """Masks at the same rows and columns; `void` where the image is its mirrored border."""
        moved = self.image(masks.unsqueeze(1)).squeeze(1)
        inside = self._inside(1)[:, :, None] & self._inside(0)[:, None, :]
        return torch.where(inside.to(masks.device), moved, void)

    def points(self, points: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N 2"]:
        """Points mirrored and moved; they may come to lie beyond the border."""
        signs, offsets = self.signs.to(points), self.offsets.to(points)
        return signs[:, None] * points + offsets[:, None]

    def inverse(self) -> "Gather":
        """The way back; what was moved beyond the border comes back as the mirrored border."""
        signs, offsets = self.signs, -self.signs * self.offsets
        rows = _along(self.size[0], signs[:, 1:], offsets[:, 1:], self.shown[0])
        columns = _along(self.size[1], signs[:, :1], offsets[:, :1], self.shown[1])
        return Gather(rows, columns, signs, offsets, self.shown)

    def _inside(self, axis: int) -> Tensor:
        """Whether each output column (axis 0) or row (axis 1) shows no mirrored border (B, N)."""
        chosen = (self.columns, self.rows)[axis]
        centres = torch.arange(chosen.shape[1]) + 0.5
        source = self.signs[:, axis : axis + 1] * (centres - self.offsets[:, axis : axis + 1])
        return (source > 0) & (source < self.size[1 - axis])


def mirror(turned: Tensor, length: int) -> Axis:
    """An axis that is mirrored where `turned` (B,) holds."""
    index = torch.arange(length).expand(len(turned), length)
    index = torch.where(turned[:, None], length - 1 - index, index)
    sign = torch.where(turned[:, None], -1.0, 1.0)
    return index, sign, torch.where(turned[:, None], float(length), 0.0)


def translate(move: Tensor, length: int) -> Axis:
    """An axis whose output pixel i shows the source pixel i + move (B,), the border mirrored."""
    index = _reflect(torch.arange(length) + move[:, None], length)
    return index, torch.ones(len(move), 1), -move[:, None].float()


def _unmoved(num: int, length: int) -> Axis:
    return mirror(torch.zeros(num, dtype=torch.bool), length)


def _along(length: int, sign: Tensor, offset: Tensor, source: int) -> Tensor:
    """Source index of each of `length` output pixels, for positions sign · p + offset."""
    return _reflect((sign * (torch.arange(length) + 0.5 - offset)).floor().long(), source)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond the border mirrored back without repeating the border pixel."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


@dataclass(frozen=True)
class Affine(Warp):
    """An affine map of each image, with interpolation between pixels.

    Args:
        matrices: (B, 2, 3) from output to input coordinates (x, y), which run from -1 to 1 between
            the outer edges of the border pixels.
        size: height and width of the images, pixels.
        window: height and width of the images after the warp; None: the same.
    """

    matrices: Tensor
    size: tuple[int, int]
    window: tuple[int, int] | None = None
    mode: str = "bilinear"
    """Interpolation of images: "bilinear" or "bicubic"."""

    @property
    def shown(self) -> tuple[int, int]:
        return self.window or self.size

    def then(self, later: "Affine") -> "Affine":
        """This warp followed by another one, as one map."""
        matrices = (_square(self.matrices) @ _square(later.matrices))[:, :2]
        return Affine(matrices, self.size, later.shown)

    def image(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        """Images seen through the maps, the border mirrored."""
        return functional.grid_sample(
            images,
            self._grid(images).to(images.dtype),
            mode=self.mode,
            padding_mode="reflection",
            align_corners=False,
        )

    def mask(self, masks: Int[Tensor, "B H W"], void: int) -> Int[Tensor, "B h w"]:
        """Masks seen through the maps, nearest pixel; `void` beyond the border."""
        B, H, W = masks.shape
        size = torch.tensor([W, H], device=masks.device)
        position = ((self._grid(masks).double() + 1) * size - 1) / 2
        columns, rows = position.round().long().unbind(-1)
        inside = (columns >= 0) & (columns < W) & (rows >= 0) & (rows < H)
        index = (rows.clamp(0, H - 1) * W + columns.clamp(0, W - 1)).view(B, -1)
        moved = masks.reshape(B, -1).gather(1, index).view(B, *self.shown)
        return torch.where(inside, moved, void)

    def points(self, points: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N 2"]:
        """Points carried from the input to the output; they may come to lie beyond the border."""
        before, after = (points.new_tensor(size[::-1]) for size in (self.size, self.shown))
        back = self.inverse().matrices.to(points)
        moved = (2 * points / before - 1) @ back[:, :, :2].mT + back[:, None, :, 2]
        return (moved + 1) / 2 * after

    def inverse(self) -> "Affine":
        """The inverse maps."""
        return Affine(torch.linalg.inv(_square(self.matrices))[:, :2], self.shown, self.size)

    def _grid(self, images: Tensor) -> Tensor:
        """Input coordinates (x, y) of each output pixel's centre (B, h, w, 2).

        Sums in place of `affine_grid`'s products of tiny matrices take a third of the time, but
        round otherwise: no training with such maps would end on the bits of before.
        """
        shape = [len(self.matrices), 1, *self.shown]
        return functional.affine_grid(self.matrices.to(images.device), shape, align_corners=False)


def _square(matrices: Tensor) -> Tensor:
    """(B, 3, 3) of affine maps (B, 2, 3)."""
    last = torch.tensor([0.0, 0.0, 1.0], dtype=matrices.dtype).expand(len(matrices), 1, 3)
    return torch.cat([matrices, last], dim=1)
