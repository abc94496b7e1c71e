"""Cross-entropy for classes of very different frequency: median-frequency balancing and focus."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ConfigError
from striate.losses.cross_entropy import softmax_cross_entropy_loss
from striate.losses.reduction import (
    IGNORE_INDEX,
    Reduction,
    check_same_shape,
    checked_class_weights,
    reduce_loss,
    valid_mask,
)

__all__ = [
    "balanced_weights",
    "binary_focal_loss",
    "focal_loss",
    "median_frequency_cross_entropy_loss",
    "median_frequency_weights",
]


def balanced_weights(class_counts: Sequence[float]) -> list[float]:
    """Class weights n/(K·n_k), by which each class counts as much as any other; 0 for none.

    Args:
        class_counts: Number n_k of targets of each class; K is the number of classes that occur.

    Source: King and Zeng, Logistic Regression in Rare Events Data (2001), section 4.2; as
    scikit-learn's "balanced".

    Example:
        >>> balanced_weights([30, 10, 0])
        [0.6666666666666666, 2.0, 0.0]
    """
    occurring = sum(count > 0 for count in class_counts)
    total = sum(class_counts)
    return [total / (occurring * count) if count else 0.0 for count in class_counts]


def median_frequency_weights(
    class_counts: Float[Tensor, "K"] | Int[Tensor, "K"],
    present_counts: Float[Tensor, "K"] | Int[Tensor, "K"] | None = None,
    balance: float = 1.0,
) -> Float[Tensor, "K"]:
    """Class weights (median(f)/f_k)^b over the classes that occur; 0 for one that does not.

    Args:
        class_counts: Number of targets (pixels) of each class.
        present_counts: Number of targets in all the images in which the class occurs; None: the
            same for all classes, so that f is the plain frequency.
        balance: Exponent b: 1 as in the paper; 0.5, the square roots, balances by half; 0 gives
            all classes that occur the same weight.

    Raises:
        ConfigError: a balance that is negative or not finite.

    Source: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels (2015),
    section 6.3.2; Badrinarayanan et al., SegNet (2017).

    Example:
        >>> median_frequency_weights(torch.tensor([10, 40, 20]))
        tensor([2.0000, 0.5000, 1.0000])
    """
    check_balance(balance)
    counts = class_counts.to(torch.get_default_dtype())
    totals = counts.sum() if present_counts is None else present_counts.to(counts.dtype)
    occurs = counts > 0
    frequency = counts / torch.where(occurs, totals, 1)
    if not bool(occurs.any()):
        return torch.zeros_like(counts)
    median = frequency[occurs].quantile(0.5)
    weights = (median / torch.where(occurs, frequency, 1)) ** balance
    return torch.where(occurs, weights, 0)


def check_balance(balance: float) -> None:
    """Raise ConfigError unless a balance can be the exponent of weights."""
    if not 0 <= balance < math.inf:
        raise ConfigError(
            f"balance={balance:g} must be 0 (no balance) or more; 1 is median frequency."
        )


def weights_by_frequency(
    scores: Tensor,
    class_counts: Tensor | Sequence[float],
    present_counts: Tensor | Sequence[float] | None,
    balance: float,
) -> Tensor:
    """`median_frequency_weights` (K,) of the kind of the scores, the counts checked against them.

    Raises:
        ShapeError: not one count for each class.
        ConfigError: a balance that is negative or not finite.
    """
    counts = torch.as_tensor(class_counts, device=scores.device)
    checked_class_weights(scores, counts)
    present = checked_class_weights(scores, present_counts)
    return median_frequency_weights(counts, present, balance).to(scores)


def focal_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    focus: float = 2.0,
    class_weights: Float[Tensor, "..."] | Sequence[float] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, "..."]:
    """Focal loss −w_y (1 − p_y)^γ log p_y with p = softmax(scores): easy targets count less.

    Args:
        scores: (B, K, *S).
        target: Class numbers (B, *S).
        reduction: "none" gives (B, *S); "mean" divides by the number of valid targets.
        focus: γ ≥ 0; 0 gives cross-entropy.
        class_weights: (K,), the paper's α of each class.
        ignore_index: The class number that counts for nothing.

    Raises:
        ConfigError: a negative focus.
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Lin et al., Focal Loss for Dense Object Detection (2017), eq. 5.

    Example:
        >>> focal_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        tensor(0.0018)
    """
    class_weights = checked_class_weights(scores, class_weights)
    valid = valid_mask(scores, target, ignore_index)
    index = target.long().where(valid, 0).unsqueeze(1)
    log_p = F.log_softmax(scores, 1).gather(1, index).squeeze(1)
    losses = -_focused(log_p, focus) * valid
    if class_weights is not None:
        losses = losses * class_weights[index.squeeze(1)]
    return reduce_loss(losses, reduction, valid)


def median_frequency_cross_entropy_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    class_counts: Float[Tensor, "..."] | Int[Tensor, "..."] | Sequence[float] | None = None,
    present_counts: Float[Tensor, "..."] | Int[Tensor, "..."] | Sequence[float] | None = None,
    balance: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, "..."]:
    """Softmax cross-entropy with class weights (median(f)/f_k)^b.

    Args:
        scores: (B, K, *S).
        target: Class numbers (B, *S).
        reduction: "none" gives (B, *S); "mean" divides by the sum of the weights.
        class_counts: Targets of each class in the training set; None: those of this batch.
        present_counts: Targets in all the images of the training set in which the class occurs;
            None: the same for all classes.
        balance: Exponent b; see `median_frequency_weights`.
        ignore_index: The class number that counts for nothing.

    Raises:
        ConfigError: a balance that is negative or not finite.
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Eigen and Fergus (2015), section 6.3.2.

    Example:
        >>> scores = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
        >>> median_frequency_cross_entropy_loss(scores, torch.tensor([0, 1, 0]))
        tensor(0.4566)
    """
    if class_counts is None:
        valid = valid_mask(scores, target, ignore_index)
        class_counts = torch.bincount(target[valid].long(), minlength=scores.shape[1])
    weights = weights_by_frequency(scores, class_counts, present_counts, balance)
    return softmax_cross_entropy_loss(
        scores, target, reduction=reduction, class_weights=weights, ignore_index=ignore_index
    )


def binary_focal_loss(
    scores: Float[Tensor, "*any"],
    target: Float[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    focus: float = 2.0,
    positive_weight: float = 0.25,
) -> Float[Tensor, "..."]:
    """Focal loss of independent yes-or-no scores, as a one-stage detector uses it.

    Args:
        scores: Logits of any shape.
        target: 0 or 1, the same shape.
        reduction: The paper divides "sum" by the number of positive anchors.
        focus: γ ≥ 0.
        positive_weight: α of the positives; the negatives have 1 − α.

    Raises:
        ShapeError: shapes that differ.

    Source: Lin et al. (2017), eq. 5.

    Example:
        >>> binary_focal_loss(torch.tensor([0.0, -3.0]), torch.tensor([1.0, 0.0]))
        tensor(0.0217)
    """
    check_same_shape(scores, target, "Scores", "one target, 0 or 1, for each score")
    log_p = torch.where(target > 0, F.logsigmoid(scores), F.logsigmoid(-scores))
    weights = torch.where(target > 0, positive_weight, 1 - positive_weight)
    return reduce_loss(-_focused(log_p, focus) * weights, reduction)


def _focused(log_p: Tensor, focus: float) -> Tensor:
    """(1 − p)^γ log p; 1 − p by expm1, which keeps its digits when p is near 1."""
    if focus < 0:
        raise ConfigError(f"focus={focus} must be 0 or more; 2 is the paper's choice.")
    if focus == 0:
        return log_p
    # A power below 1 has no finite slope at 0, which p = 1 in floating point would reach.
    rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    return rest.pow(focus) * log_p
