"""Binary cross-entropy: independent yes-or-no scores, any number of which may be yes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.losses.reduction import Reduction, check_same_shape, reduce_loss

__all__ = ["binary_cross_entropy_loss"]


def binary_cross_entropy_loss(
    scores: Float[Tensor, "*any"],
    target: Float[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    positive_weights: Float[Tensor, "K"] | Sequence[float] | None = None,
) -> Float[Tensor, "..."]:
    """Binary cross-entropy −w y log σ(s) − (1 − y) log(1 − σ(s)) of independent scores.

    Args:
        scores: Logits of any shape; with weights (B, K).
        target: 0 or 1, or a share between them, the same shape.
        reduction: "mean" divides by the number of scores.
        positive_weights: (K,), the weight w of the positives of each label.

    Raises:
        ShapeError: shapes that do not fit.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.90.

    Example:
        >>> binary_cross_entropy_loss(torch.tensor([0.0, -3.0]), torch.tensor([1.0, 0.0]))
        tensor(0.3709)
    """
    check_same_shape(scores, target, "Scores", "one target, 0 or 1, for each score")
    weights = None
    if positive_weights is not None:
        weights = torch.as_tensor(positive_weights, dtype=scores.dtype, device=scores.device)
        check_same_shape(scores[0], weights, "Scores", "one weight for each label")
    losses = F.binary_cross_entropy_with_logits(
        scores, target.to(scores.dtype), pos_weight=weights, reduction="none"
    )
    return reduce_loss(losses, reduction)
