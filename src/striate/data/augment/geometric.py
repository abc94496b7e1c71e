"""Geometric augmentations: mirror, move, cut, turn.

Each is a function of the batch's shape that draws a `Warp`; what belongs to an image (mask, boxes,
points) moves with it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from striate.data.augment.draw import uniform
from striate.data.warp import Affine, Gather, mirror, translate
from striate.errors import ConfigError


def flip(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    vertical: bool = False,
    alternating: bool = False,
    flip_parity: Bool[Tensor, "B"] | None = None,
) -> Gather:
    """Mirror images left to right (or top to bottom).

    Args:
        shape: B, C, H, W of the images.
        generator: Source of randomness, on the CPU.
        probability: Probability of mirroring an image.
        vertical: Mirror top to bottom instead.
        alternating: Mirror an image in every second epoch, whatever `probability`: two epochs
            show both of its sides, where random flips show one side twice to every second image.
        flip_parity: Images that are mirrored then; the loader gives it.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (alternating flip).

    Example:
        >>> images = torch.arange(3.0).view(1, 1, 1, 3)
        >>> flip(images.shape, torch.Generator(), probability=1.0).image(images).flatten()
        tensor([2., 1., 0.])
    """
    B, _, H, W = shape
    if not alternating:
        flip_parity = torch.rand(B, generator=generator) < probability
    elif flip_parity is None:
        raise ConfigError(
            "flip: alternating=True depends on the epoch of each image: give `flip_parity`, a "
            "truth value for each image."
        )
    still = torch.zeros_like(flip_parity)
    upright, sideways = (flip_parity, still) if vertical else (still, flip_parity)
    return Gather.of_axes(mirror(upright, H), mirror(sideways, W), (H, W))


def shift(shape: Sequence[int], generator: torch.Generator, *, fraction: float = 0.0625) -> Gather:
    """Move images by whole pixels, the border mirrored (the padded random crop).

    Args:
        shape: B, C, H, W of the images.
        generator: Source of randomness, on the CPU.
        fraction: Largest move as a share of the side (0.0625 moves 32 pixels by up to 2).

    Example:
        >>> images = torch.rand(2, 3, 8, 8)
        >>> shift(images.shape, torch.Generator(), fraction=0.0).image(images).equal(images)
        True
    """
    B, _, H, W = shape
    reach = (round(fraction * H), round(fraction * W))
    moves = [torch.randint(-r, r + 1, (B, 1), generator=generator)[:, 0] for r in reach]
    return Gather.of_axes(translate(moves[0], H), translate(moves[1], W), (H, W))


def resized_crop(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    smallest: float = 0.35,
    ratio: float = 1.33,
) -> Affine:
    """Cut a random window and stretch it over the whole image.

    Args:
        shape: B, C, H, W of the images.
        generator: Source of randomness, on the CPU.
        smallest: Smallest area of the window as a share of the image.
        ratio: Largest stretch of one side against the other.

    Source: Szegedy et al. 2015, "Going deeper with convolutions" (training by random areas).
    """
    B, _, H, W = shape
    area = uniform(smallest, 1.0, B, generator)
    log_ratio = torch.log(torch.tensor(ratio))
    stretch = torch.exp(uniform(-1.0, 1.0, B, generator) * log_ratio).sqrt()
    height = (area.sqrt() * stretch).clamp(max=1.0)
    width = (area.sqrt() / stretch).clamp(max=1.0)
    matrices = torch.zeros(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = width, height
    matrices[:, 0, 2] = uniform(-1.0, 1.0, B, generator) * (1 - width)
    matrices[:, 1, 2] = uniform(-1.0, 1.0, B, generator) * (1 - height)
    return Affine(matrices, (H, W))


def crop(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    size: tuple[int, int],
    smallest: float = 1.0,
    largest: float = 1.0,
) -> Affine:
    """Cut a random window of a fixed size out of images that are scaled at random.

    A window larger than the scaled image shows its mirrored border, of masks nothing.

    Args:
        shape: B, C, H, W of the images.
        generator: Source of randomness, on the CPU.
        size: Height and width of the window, pixels.
        smallest: Smallest scale of the image; 0.5 shows twice as much of it.
        largest: Largest scale of the image.

    Raises:
        ConfigError: a size or scales that do not fit.

    Example:
        >>> images = torch.rand(2, 3, 8, 8)
        >>> crop(images.shape, torch.Generator(), size=(4, 6)).image(images).shape
        torch.Size([2, 3, 4, 6])
    """
    height, width = window_size(size)
    if not 0 < smallest <= largest:
        raise ConfigError(
            f"crop: smallest={smallest:g}, largest={largest:g} do not fit; accepted: scales above "
            "0, the smallest first."
        )
    B, _, H, W = shape
    scale = torch.exp(uniform(math.log(smallest), math.log(largest), B, generator))
    shares = height / (scale * H), width / (scale * W)
    matrices = torch.zeros(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = shares[1], shares[0]
    matrices[:, 0, 2] = uniform(-1.0, 1.0, B, generator) * (1 - shares[1]).abs()
    matrices[:, 1, 2] = uniform(-1.0, 1.0, B, generator) * (1 - shares[0]).abs()
    return Affine(matrices, (H, W), (height, width))


def window_size(size: Any) -> tuple[int, int]:
    """Height and width of the window of `crop`.

    Raises:
        ConfigError: no two sides of 1 or more pixels.
    """
    is_pair = isinstance(size, (list, tuple)) and len(size) == 2
    if not is_pair or not all(type(side) is int and side >= 1 for side in size):
        raise ConfigError(
            f"crop: size={size!r} does not fit; accepted: height and width in pixels, [64, 96]."
        )
    return size[0], size[1]


def affine(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    degrees: float = 10.0,
    scale: float = 0.1,
    shift: float = 0.06,
    shear: float = 0.1,
) -> Affine:
    """Rotate, scale, shear and move images a little, the border mirrored.

    Args:
        shape: B, C, H, W of the images.
        generator: Source of randomness, on the CPU.
        degrees: Largest rotation.
        scale: Largest change of size as a share.
        shift: Largest move as a share of the side.
        shear: Largest tangent of the shear.
    """
    B, _, H, W = shape
    angle = torch.deg2rad(uniform(-degrees, degrees, B, generator))
    size = 1 + uniform(-scale, scale, B, generator)
    slant = uniform(-shear, shear, B, generator)
    cosine, sine = angle.cos() / size, angle.sin() / size
    aspect = H / W  # coordinates run from -1 to 1 on both axes, whatever the sides
    matrices = torch.empty(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 0, 1] = cosine, (slant * cosine - sine) * aspect
    matrices[:, 1, 0], matrices[:, 1, 1] = sine / aspect, slant * sine + cosine
    matrices[:, :, 2] = uniform(-2 * shift, 2 * shift, 2 * B, generator).view(B, 2)
    return Affine(matrices, (H, W))
