"""Softmax cross-entropy: the negative log-likelihood of the true class."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ConfigError, ShapeError
from striate.losses.reduction import (
    IGNORE_INDEX,
    Reduction,
    checked_class_weights,
    reduce_loss,
    valid_mask,
)

__all__ = ["softmax_cross_entropy_loss"]


def softmax_cross_entropy_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."] | Float[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    class_weights: Float[Tensor, "..."] | Sequence[float] | None = None,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
) -> Float[Tensor, "..."]:
    """Softmax cross-entropy −Σ_k w_k q_k log p_k with p = softmax(scores); ∂L/∂s = p − y.

    Args:
        scores: (B, K, *S), unnormalised; of an image, or of each position in an image.
        target: Class numbers (B, *S), or floating-point distributions q of the shape of the
            scores (mix-up, distillation).
        reduction: "none" gives (B, *S); "mean" divides by the sum of the weights of the valid
            targets (for distributions of Σ_k w_k q_k, where torch divides by their number).
        class_weights: (K,), the weight w of each class.
        ignore_index: The class number that counts for nothing.
        label_smoothing: ε in [0, 1]: q = (1 − ε)·target + ε/K.

    Raises:
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.108; smoothing:
    Szegedy et al., Rethinking the Inception Architecture (2016), section 7.

    Example:
        >>> scores = torch.tensor([[3.2, 5.1, -1.7]])
        >>> softmax_cross_entropy_loss(scores, torch.tensor([0]))
        tensor(2.0404)
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ConfigError(f"label_smoothing={label_smoothing} must lie between 0 and 1.")
    class_weights = checked_class_weights(scores, class_weights)
    if target.is_floating_point():
        return _against_distribution(scores, target, reduction, class_weights, label_smoothing)
    valid = valid_mask(scores, target, ignore_index)
    losses = F.cross_entropy(
        scores,
        target.long(),
        weight=class_weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    if class_weights is None:
        return reduce_loss(losses, reduction, valid)
    return reduce_loss(losses, reduction, class_weights[target.long().where(valid, 0)] * valid)


def _against_distribution(
    scores: Tensor,
    target: Tensor,
    reduction: Reduction,
    class_weights: Tensor | None,
    label_smoothing: float,
) -> Tensor:
    if target.shape != scores.shape:
        raise ShapeError(
            f"Floating-point targets of shape {tuple(target.shape)} do not fit scores of shape "
            f"{tuple(scores.shape)}; accepted: a distribution over the classes for each item, the "
            "same shape as the scores, or class numbers of an integer type."
        )
    losses = F.cross_entropy(
        scores, target, weight=class_weights, label_smoothing=label_smoothing, reduction="none"
    )
    if class_weights is None:
        return reduce_loss(losses, reduction)
    weights = torch.einsum("bk...,k->b...", target, class_weights.to(target.dtype))
    return reduce_loss(losses, reduction, weights)
