"""Pixel augmentations: they change values and leave every pixel where it is."""

import torch
from torch import Tensor

from striate.data.augment.draw import Images, uniform


def colour(
    images: Images,
    generator: torch.Generator,
    *,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
) -> Images:
    """Change brightness, contrast and saturation; each is the largest change as a share.

    Args:
        images: Batch, values in [0, 1]; saturation is left alone for one channel.
        generator: Source of randomness, on the CPU.
        brightness: Factor 1 ± brightness on all values.
        contrast: Factor 1 ± contrast on the distance from the image's mean.
        saturation: Factor 1 ± saturation on the distance from grey.
    """
    B, C = images.shape[:2]

    def factor(reach: float) -> Tensor:
        return (1 + uniform(-reach, reach, B, generator)).view(B, 1, 1, 1).to(images.device)

    images = images * factor(brightness)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(mean.expand_as(images), images, factor(contrast))
    if C == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = torch.lerp(grey.expand_as(images), images, factor(saturation))
    return images.clamp(0, 1)


def erase(
    images: Images,
    generator: torch.Generator,
    *,
    fraction: float = 0.25,
    probability: float = 0.5,
) -> Images:
    """Cover a square of each image with the batch's mean colour.

    Args:
        images: Batch, values in [0, 1].
        generator: Source of randomness, on the CPU.
        fraction: Side of the square as a share of the image's side.
        probability: Probability of covering an image.

    Source: DeVries & Taylor 2017, "Improved regularization of CNNs with cutout".
    """
    covered = windows(images, torch.full((images.shape[0],), fraction), generator)
    chosen = torch.rand(images.shape[0], generator=generator) < probability
    mean = images.mean(dim=(0, 2, 3), keepdim=True)
    mask = (covered & chosen.view(-1, 1, 1)).unsqueeze(1).to(images.device)
    return torch.where(mask, mean, images)


def windows(images: Tensor, fraction: Tensor, draw: torch.Generator) -> Tensor:
    """A mask (B, H, W) of one rectangle an image, its sides `fraction` of the image's."""
    B, _, H, W = images.shape
    inside = []
    for size in (H, W):
        centre = torch.rand(B, 1, generator=draw) * size
        half = (fraction * size / 2).view(B, 1)
        inside.append((torch.arange(size) + 0.5 - centre).abs() <= half)
    return inside[0][:, :, None] & inside[1][:, None, :]
