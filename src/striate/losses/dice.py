"""The soft Dice loss, one minus the overlap of predicted and true regions; with cross-entropy."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ConfigError
from striate.losses.balance import check_balance, weights_by_frequency
from striate.losses.reduction import IGNORE_INDEX, Reduction, reduce_loss, valid_mask

__all__ = ["cross_entropy_dice_loss", "dice_loss"]


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
    index = target.long().where(valid, 0)
    probability = torch.softmax(scores, 1)
    each = _dice_losses(probability, index, valid, per_item, squared, smoothing)
    return reduce_loss(each, reduction)


def _dice_losses(
    probability: Tensor,
    index: Tensor,
    valid: Tensor,
    per_item: bool = False,
    squared: bool = False,
    smoothing: float = 1.0,
) -> Tensor:
    """Dice losses (K,), or (B, K), of probabilities (B, K, *S) and class numbers (B, *S)."""
    num_items, num_classes = probability.shape[:2]
    if not bool(valid.all()):
        probability = probability * valid.unsqueeze(1)
    space = tuple(range(2, probability.ndim))
    axes = space if per_item else (0, *space)
    amount = probability.square() if squared else probability
    predicted = amount.sum(axes) if axes else amount
    # Sums over the pixels of each true class, of each item where there are sums of items.
    cell = index
    if per_item:
        item = torch.arange(num_items, device=index.device) * num_classes
        cell = index + item.view(-1, *[1] * (index.ndim - 1))
    own = probability.gather(1, index.unsqueeze(1))

    def total(values: Tensor) -> Tensor:
        sums = torch.zeros(predicted.numel(), dtype=torch.float64, device=index.device)
        summed = sums.index_add(0, cell.flatten(), values.flatten().double())
        return summed.view_as(predicted).to(predicted.dtype)

    return 1 - (2 * total(own) + smoothing) / (predicted + total(valid) + smoothing)


def cross_entropy_dice_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    dice_share: float = 0.5,
    class_counts: Float[Tensor, "..."] | Int[Tensor, "..."] | Sequence[float] | None = None,
    present_counts: Float[Tensor, "..."] | Int[Tensor, "..."] | Sequence[float] | None = None,
    balance: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, ""]:
    """Mean of cross-entropy, which counts positions, and of the Dice loss, which counts regions.

    Args:
        scores: (B, K, *S).
        target: Class numbers (B, *S).
        reduction: "mean" only: the parts are means over places and over classes.
        dice_share: Share a of the Dice loss, 0 to 1: (1 − a)·cross-entropy + a·Dice.
        class_counts: Targets of each class in the training set, by which the cross-entropy is
            balanced by median frequency; None: all classes weigh the same.
        present_counts: Targets in all the images of the training set in which the class occurs.
        balance: Exponent of the weights; see `median_frequency_weights`.
        ignore_index: Positions with this number count for nothing.

    Raises:
        ConfigError: a share outside 0 to 1, a negative balance, or another reduction.
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Isensee et al., nnU-Net (2021), methods, "Architecture template" (the sum of both).

    Example:
        >>> scores = torch.tensor([[[9.0, -9.0, 9.0], [-9.0, 9.0, -9.0]]])
        >>> cross_entropy_dice_loss(scores, torch.tensor([[0, 1, 1]]))
        tensor(3.1250)
    """
    if not 0 <= dice_share <= 1:
        raise ConfigError(f"dice_share={dice_share:g} must lie between 0 and 1.")
    if reduction != "mean":
        raise ConfigError(f"reduction={reduction!r} is unknown here; accepted: 'mean'.")
    check_balance(balance)
    valid = valid_mask(scores, target, ignore_index)
    index = target.long().where(valid, 0)
    log_p = F.log_softmax(scores, 1)
    share = valid.to(log_p.dtype)
    if class_counts is not None:
        weights = weights_by_frequency(scores, class_counts, present_counts, balance)
        share = share * weights[index]
    pixels = reduce_loss(-log_p.gather(1, index.unsqueeze(1)).squeeze(1) * share, "mean", share)
    regions = _dice_losses(log_p.exp(), index, valid).mean()
    return (1 - dice_share) * pixels + dice_share * regions
