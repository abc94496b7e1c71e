"""Losses of adversarial training: what the discriminator and the generator each make smaller.

Scores are the discriminator's last linear outputs (logits), of any shape: one per image, or one
per patch.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.losses.reduction import Reduction, reduce_loss

__all__ = [
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "non_saturating_discriminator_loss",
    "non_saturating_generator_loss",
]


def non_saturating_discriminator_loss(
    real_scores: Float[Tensor, "*any"],
    fake_scores: Float[Tensor, "*any"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """−log σ(D(x)) − log(1 − σ(D(G(z)))), paired; 2 log 2 when it cannot tell them apart.

    Source: Goodfellow et al., Generative Adversarial Nets (2014), eq. 1.

    Example:
        >>> import torch
        >>> non_saturating_discriminator_loss(torch.tensor([2.0]), torch.tensor([-1.0]))
        tensor(0.4402)
    """
    return reduce_loss(F.softplus(-real_scores) + F.softplus(fake_scores), reduction)


def non_saturating_generator_loss(
    fake_scores: Float[Tensor, "*any"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """−log σ(D(G(z))): has a gradient even where the discriminator is sure.

    Source: Goodfellow et al. (2014), section 3.

    Example:
        >>> import torch
        >>> non_saturating_generator_loss(torch.tensor([-1.0]))
        tensor(1.3133)
    """
    return reduce_loss(F.softplus(-fake_scores), reduction)


def least_squares_discriminator_loss(
    real_scores: Float[Tensor, "*any"],
    fake_scores: Float[Tensor, "*any"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """½ (D(x) − 1)² + ½ D(G(z))².

    Source: Mao et al., Least Squares Generative Adversarial Networks (2017), eq. 9 (0-1 coding).

    Example:
        >>> import torch
        >>> least_squares_discriminator_loss(torch.tensor([2.0]), torch.tensor([-1.0]))
        tensor(1.)
    """
    return reduce_loss(((real_scores - 1).square() + fake_scores.square()) / 2, reduction)


def least_squares_generator_loss(
    fake_scores: Float[Tensor, "*any"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """½ (D(G(z)) − 1)².

    Source: Mao et al. (2017), eq. 9.

    Example:
        >>> import torch
        >>> least_squares_generator_loss(torch.tensor([-1.0]))
        tensor(2.)
    """
    return reduce_loss((fake_scores - 1).square() / 2, reduction)
