"""The soft Dice loss: one minus the overlap of predicted and true regions."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.losses.reduction import IGNORE_INDEX, Reduction, reduce_loss, valid_mask

__all__ = ["dice_loss"]


def dice_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    per_item: bool = False,
    squared: bool = False,
    smoothing: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, "..."]:
    """Soft Dice loss 1 − (2 Σ p·y + ε) / (Σ p + Σ y + ε) of each class, p = softmax(scores).

    Args:
        scores: (B, K, *S).
        target: Class numbers (B, *S).
        reduction: "none" gives one loss per class, (K,), or (B, K) when `per_item`.
        per_item: Take the sums over each item; otherwise over the whole batch, which is steadier
            when a class is absent from many items.
        squared: Σ p² and Σ y² in the denominator, as in V-Net.
        smoothing: ε; a class that is absent and not predicted has the loss 0.
        ignore_index: Positions with this number count for nothing.

    Raises:
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Milletari et al., V-Net (2016), eq. 1 (squared); Sudre et al., Generalised Dice (2017).

    Example:
        >>> scores = torch.tensor([[[9.0, -9.0, 9.0], [-9.0, 9.0, -9.0]]])
        >>> dice_loss(scores, torch.tensor([[0, 1, 1]]), reduction="none")
        tensor([0.2500, 0.2500])
    """
    valid = valid_mask(scores, target, ignore_index)
    one_hot = F.one_hot(target.long().where(valid, 0), scores.shape[1]).movedim(-1, 1)
    mask = valid.unsqueeze(1).to(scores.dtype)
    truth = one_hot.to(scores.dtype) * mask
    probability = torch.softmax(scores, 1) * mask
    space = tuple(range(2, scores.ndim))
    axes = space if per_item else (0, *space)

    def total(values: Tensor) -> Tensor:
        return values.sum(axes) if axes else values

    overlap = total(probability * truth)
    extent = total(probability.square() if squared else probability) + total(truth)
    return reduce_loss(1 - (2 * overlap + smoothing) / (extent + smoothing), reduction)
