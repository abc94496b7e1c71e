"""Losses of box regression: smooth L1 on coordinates, and overlap of boxes (IoU, GIoU).

Boxes are (x1, y1, x2, y2) with x1 ≤ x2 and y1 ≤ y2, in any unit.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError
from striate.losses.reduction import Reduction, check_same_shape, reduce_loss

__all__ = ["box_iou", "giou_loss", "iou_loss", "smooth_l1_loss"]


def smooth_l1_loss(
    prediction: Float[Tensor, "*any"],
    target: Float[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    beta: float = 1.0,
) -> Float[Tensor, "..."]:
    """Smooth L1: d²/(2β) where |d| < β, else |d| − β/2.

    Args:
        prediction: Predicted coordinates, of any shape.
        target: True coordinates, of the same shape.
        reduction: "none" keeps the shape.
        beta: Distance at which the parabola passes into the straight line; 0 gives L1.

    Source: Girshick, Fast R-CNN (2015), eq. 3 (β = 1).

    Example:
        >>> smooth_l1_loss(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0]), reduction="none")
        tensor([0.1250, 2.5000])
    """
    check_same_shape(prediction, target, "A prediction")
    if beta < 0:
        raise ConfigError(f"beta={beta} must be 0 or more.")
    return reduce_loss(F.smooth_l1_loss(prediction, target, reduction="none", beta=beta), reduction)


def box_iou(boxes: Float[Tensor, "*N 4"], others: Float[Tensor, "*N 4"]) -> Float[Tensor, "*N"]:
    """Intersection over union of each box with its partner; 0 where both are empty.

    Example:
        >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
        tensor([0.3333])
    """
    intersection, union, _ = _overlap(boxes, others)
    return intersection / torch.where(union > 0, union, 1)


def iou_loss(
    prediction: Float[Tensor, "N 4"], target: Float[Tensor, "N 4"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """One minus intersection over union of each predicted box with its true one.

    Its gradient is zero for boxes that do not meet; `giou_loss` draws those together.

    Source: Yu et al., UnitBox (2016), in the linear form of Rezatofighi et al. (2019).

    Example:
        >>> iou_loss(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
        tensor(0.6667)
    """
    return reduce_loss(1 - box_iou(prediction, target), reduction)


def giou_loss(
    prediction: Float[Tensor, "N 4"], target: Float[Tensor, "N 4"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """One minus generalised IoU: 1 − IoU + (hull − union)/hull, between 0 and 2.

    Source: Rezatofighi et al., Generalized Intersection over Union (2019), algorithm 1.

    Example:
        >>> giou_loss(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 4.0, 1.0]]))
        tensor(1.5000)
    """
    intersection, union, hull = _overlap(prediction, target)
    iou = intersection / torch.where(union > 0, union, 1)
    gap = (hull - union) / torch.where(hull > 0, hull, 1)
    return reduce_loss(1 - iou + gap, reduction)


def _overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas of intersection, union and smallest enclosing box."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(-1)

    low, high = boxes[..., :2], boxes[..., 2:]
    other_low, other_high = others[..., :2], others[..., 2:]
    intersection = area(torch.maximum(low, other_low), torch.minimum(high, other_high))
    union = area(low, high) + area(other_low, other_high) - intersection
    hull = area(torch.minimum(low, other_low), torch.maximum(high, other_high))
    return intersection, union, hull
