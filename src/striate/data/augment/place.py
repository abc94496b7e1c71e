"""Changes of place: mirror, move, cut, turn."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from striate.data.augment.draw import Images, Target, uniform
from striate.errors import ConfigError

__all__ = ["PLACES", "affine", "flip", "resized_crop", "shift"]


def flip(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    vertical: bool = False,
    alternating: bool = False,
    odd: Bool[Tensor, "B"] | None = None,
) -> tuple[Images, Target]:
    """Mirror images left to right (or top to bottom).

    Args:
        images: batch, values in [0, 1].
        target: classes (B,) or class weights (B, K); unchanged.
        generator: source of chance, on the CPU.
        probability: of mirroring an image.
        vertical: mirror top to bottom instead.
        alternating: mirror an image at every second showing, `probability` aside: two epochs
            show both of its sides, where chance shows one side twice to every second image.
        odd: the images that are mirrored then; the loader gives it.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (alternating flip).

    Example:
        >>> images = torch.arange(3.0).view(1, 1, 1, 3)
        >>> flip(images, torch.tensor([0]), torch.Generator(), probability=1.0)[0].flatten()
        tensor([2., 1., 0.])
    """
    rows, columns = _flip_places(images.shape, generator, probability, vertical, alternating, odd)
    return _take(images, rows, columns), target


def _flip_places(
    shape: Sequence[int],
    generator: torch.Generator,
    probability: float = 0.5,
    vertical: bool = False,
    alternating: bool = False,
    odd: Bool[Tensor, "B"] | None = None,
) -> tuple[Tensor, Tensor]:
    B, _, H, W = shape
    if not alternating:
        odd = torch.rand(B, generator=generator) < probability
    elif odd is None:
        raise ConfigError(
            "flip: alternating=True needs to know which showing of an image this is: give "
            "`odd`, a truth value for each image."
        )
    turned = odd[:, None]
    rows, columns = torch.arange(H).expand(B, H), torch.arange(W).expand(B, W)
    if vertical:
        return torch.where(turned, H - 1 - rows, rows), columns
    return rows, torch.where(turned, W - 1 - columns, columns)


def shift(
    images: Images, target: Target, generator: torch.Generator, *, fraction: float = 0.0625
) -> tuple[Images, Target]:
    """Move images by whole pixels, the border mirrored (the padded random crop).

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        fraction: largest move as a share of the side (0.0625 moves 32 pixels by up to 2).

    Example:
        >>> images = torch.rand(2, 3, 8, 8)
        >>> shift(images, torch.tensor([0, 1]), torch.Generator(), fraction=0.0)[0].equal(images)
        True
    """
    rows, columns = _shift_places(images.shape, generator, fraction)
    return _take(images, rows, columns), target


def _shift_places(
    shape: Sequence[int], generator: torch.Generator, fraction: float = 0.0625
) -> tuple[Tensor, Tensor]:
    B, _, H, W = shape
    reach = (round(fraction * H), round(fraction * W))
    moves = [torch.randint(-r, r + 1, (B, 1), generator=generator) for r in reach]
    return _reflect(torch.arange(H) + moves[0], H), _reflect(torch.arange(W) + moves[1], W)


PLACES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "flip": _flip_places,
    "shift": _shift_places,
}
"""Augmentations that only choose the rows (B, H') and columns (B, W') of each image, by name:
functions (shape, generator, ...) of what the augmentation itself takes and draws."""


def resized_crop(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    smallest: float = 0.35,
    ratio: float = 1.33,
) -> tuple[Images, Target]:
    """Cut a random window and stretch it over the whole image.

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        smallest: smallest area of the window as a share of the image.
        ratio: largest stretch of one side against the other.

    Source: Szegedy et al. 2015, "Going deeper with convolutions" (training by random areas).
    """
    B = images.shape[0]
    area = uniform(smallest, 1.0, B, generator)
    log_ratio = torch.log(torch.tensor(ratio))
    stretch = torch.exp(uniform(-1.0, 1.0, B, generator) * log_ratio).sqrt()
    height = (area.sqrt() * stretch).clamp(max=1.0)
    width = (area.sqrt() / stretch).clamp(max=1.0)
    matrices = torch.zeros(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = width, height
    matrices[:, 0, 2] = uniform(-1.0, 1.0, B, generator) * (1 - width)
    matrices[:, 1, 2] = uniform(-1.0, 1.0, B, generator) * (1 - height)
    return _resample(images, matrices), target


def affine(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    degrees: float = 10.0,
    scale: float = 0.1,
    shift: float = 0.06,
    shear: float = 0.1,
) -> tuple[Images, Target]:
    """Rotate, scale, shear and move images a little, the border mirrored.

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        degrees: largest rotation.
        scale: largest change of size as a share.
        shift: largest move as a share of the side.
        shear: largest tangent of the shear.
    """
    B, _, H, W = images.shape
    angle = torch.deg2rad(uniform(-degrees, degrees, B, generator))
    size = 1 + uniform(-scale, scale, B, generator)
    slant = uniform(-shear, shear, B, generator)
    cosine, sine = angle.cos() / size, angle.sin() / size
    aspect = H / W  # coordinates run from -1 to 1 on both axes, whatever the sides
    matrices = torch.empty(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 0, 1] = cosine, (slant * cosine - sine) * aspect
    matrices[:, 1, 0], matrices[:, 1, 1] = sine / aspect, slant * sine + cosine
    matrices[:, :, 2] = uniform(-2 * shift, 2 * shift, 2 * B, generator).view(B, 2)
    return _resample(images, matrices), target


def _take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels of each image at its own rows (B, H') and columns (B, W').

    Whole pixels are gathered from the channels-last layout: one row of C values each.
    """
    B, C, H, W = images.shape
    rows, columns = rows.to(images.device), columns.to(images.device)
    start = torch.arange(B, device=images.device).view(B, 1, 1) * (H * W)
    index = start + rows[:, :, None] * W + columns[:, None, :]
    pixels = images.permute(0, 2, 3, 1).reshape(B * H * W, C)
    taken = pixels.index_select(0, index.reshape(-1))
    return taken.view(B, rows.shape[1], columns.shape[1], C).permute(0, 3, 1, 2)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond the border mirrored back without repeating the border pixel."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def _resample(images: Tensor, matrices: Tensor) -> Tensor:
    """Images seen through one affine map each: (B, 2, 3) from output to input coordinates."""
    grid = functional.affine_grid(
        matrices.to(images.device), list(images.shape), align_corners=False
    )
    return functional.grid_sample(
        images,
        grid.to(images.dtype),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )
