"""From one loss per target to one number, and the checks that every classification loss shares.

The mean is taken over the valid targets: those that are not ignored, each with the weight of
its class. A batch without a valid target has the mean 0 (and a zero gradient), not 0/0.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from striate.errors import ConfigError, DataError, ShapeError

__all__ = ["IGNORE_INDEX", "Reduction", "num_valid_targets", "reduce_loss"]

Reduction = Literal["none", "sum", "mean"]
"""Treatment of the losses of all targets: leave them, add them, or average them."""

IGNORE_INDEX = -100
"""The target that counts for nothing; torch's own choice, outside every range of classes."""


def reduce_loss(
    losses: Float[Tensor, "*any"],
    reduction: Reduction,
    weights: Float[Tensor, "*any"] | Bool[Tensor, "*any"] | None = None,
) -> Float[Tensor, "*reduced"]:
    """The losses as they are, their sum, or their mean.

    Args:
        losses: Losses, one per target, already multiplied by its weight, 0 where it is ignored.
        reduction: "none", "sum" or "mean".
        weights: Weight of each target in the mean; None: 1 for all.

    Raises:
        ConfigError: an unknown reduction.

    Example:
        >>> reduce_loss(torch.tensor([2.0, 0.0, 4.0]), "mean", torch.tensor([True, False, True]))
        tensor(3.)
    """
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction != "mean":
        raise ConfigError(f"reduction={reduction!r} is unknown; accepted: 'none', 'sum', 'mean'.")
    if weights is None:
        return losses.mean()
    total = weights.sum().to(losses.dtype)
    return losses.sum() / torch.where(total > 0, total, torch.ones_like(total))


def num_valid_targets(target: Int[Tensor, "..."], ignore_index: int = IGNORE_INDEX) -> int:
    """The number of targets that are not ignored: the weight of a micro-batch.

    Example:
        >>> num_valid_targets(torch.tensor([3, -100, 0]))
        2
    """
    return int((target != ignore_index).sum())


def check_same_shape(
    values: Tensor, target: Tensor, what: str, accepted: str = "the same shape"
) -> None:
    """Raise ShapeError unless there is a target for each value that a loss compares with it."""
    if values.shape != target.shape:
        raise ShapeError(
            f"{what} of shape {tuple(values.shape)} and a target of shape {tuple(target.shape)} "
            f"differ; accepted: {accepted}."
        )


def valid_mask(
    scores: Float[Tensor, "..."], target: Int[Tensor, "..."], ignore_index: int
) -> Bool[Tensor, "..."]:
    """True where a target counts, after shapes and (on a CPU) values have been checked.

    Raises:
        ShapeError: scores (B, K, *S) and target (B, *S) that do not fit.
        DataError: a target outside 0..K-1 that is not `ignore_index`.
    """
    if scores.ndim < 2 or (scores.shape[0], *scores.shape[2:]) != tuple(target.shape):
        raise ShapeError(
            f"Scores of shape {tuple(scores.shape)} and targets of shape {tuple(target.shape)} do "
            "not fit; accepted: scores (B, K, *S) with class numbers (B, *S). A network for "
            "classification gives one row of K scores per image; targets are not one-hot."
        )
    valid = target != ignore_index
    # Reading values back from an accelerator would stall it; there torch's own check fires.
    if scores.device.type == "cpu" and target.numel():
        num_classes = scores.shape[1]
        wrong = valid & ((target < 0) | (target >= num_classes))
        if bool(wrong.any()):
            raise DataError(
                f"Target {int(target[wrong][0])} is not a class: with {num_classes} scores per "
                f"item the classes are 0 to {num_classes - 1} (and {ignore_index} is ignored). "
                "Give the network as many outputs as there are classes, numbered from 0."
            )
    return valid


def checked_class_weights(
    scores: Tensor, class_weights: Tensor | Sequence[float] | None
) -> Tensor | None:
    """One weight per class as a tensor (K,) of the kind of the scores; None where none came.

    Raises:
        ShapeError: not one weight per class.
    """
    if class_weights is None:
        return None
    weights = torch.as_tensor(class_weights, dtype=scores.dtype, device=scores.device)
    if tuple(weights.shape) != (scores.shape[1],):
        raise ShapeError(
            f"class_weights of shape {tuple(weights.shape)} do not fit {scores.shape[1]} "
            f"classes; accepted: one weight per class, shape ({scores.shape[1]},)."
        )
    return weights
