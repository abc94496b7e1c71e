"""Mixing augmentations: blends of two images and of their classes."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from striate.data.augment.draw import Images, Target
from striate.data.augment.pixel import windows


def mixup(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    num_classes: int,
    alpha: float = 0.2,
) -> tuple[Images, Float[Tensor, "B K"]]:
    """Blend each image and its class with another one of the batch.

    Args:
        images: Batch, values in [0, 1].
        target: Classes (B,) or class weights (B, K).
        generator: Source of randomness, on the CPU.
        num_classes: Number K of classes.
        alpha: Parameter of the Beta(alpha, alpha) from which the share is drawn.

    Source: Zhang et al. 2018, "mixup: Beyond empirical risk minimization".
    """
    B = images.shape[0]
    other = torch.randperm(B, generator=generator).to(images.device)
    share = _beta(alpha, B, generator).to(images.device)
    soft = _soft(target, num_classes)
    blended = torch.lerp(images[other], images, share.view(B, 1, 1, 1))
    return blended, torch.lerp(soft[other], soft, share.view(B, 1))


def cutmix(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    num_classes: int,
    alpha: float = 1.0,
) -> tuple[Images, Float[Tensor, "B K"]]:
    """Put a window of another image of the batch into each image; classes by area.

    Args:
        images: Batch, values in [0, 1].
        target: Classes (B,) or class weights (B, K).
        generator: Source of randomness, on the CPU.
        num_classes: Number K of classes.
        alpha: Parameter of the Beta(alpha, alpha) from which the kept area is drawn.

    Source: Yun et al. 2019, "CutMix".
    """
    B = images.shape[0]
    other = torch.randperm(B, generator=generator).to(images.device)
    mask = windows(images, (1 - _beta(alpha, B, generator)).sqrt(), generator)
    share = 1 - mask.float().mean(dim=(1, 2)).to(images.device)
    soft = _soft(target, num_classes)
    mixed = torch.where(mask.unsqueeze(1).to(images.device), images[other], images)
    return mixed, torch.lerp(soft[other], soft, share.view(B, 1))


def _soft(target: Tensor, num_classes: int) -> Tensor:
    if target.ndim == 2:
        return target
    return functional.one_hot(target.long(), num_classes).float()


def _beta(alpha: float, size: int, draw: torch.Generator) -> Tensor:
    """Draws of Beta(alpha, alpha) as the share of one of two Gamma draws (Jöhnk's property)."""
    pair = torch._standard_gamma(torch.full((2, size), alpha), generator=draw)
    return pair[0] / pair.sum(dim=0).clamp_min(1e-30)
