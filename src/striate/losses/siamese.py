"""Losses of siamese networks, on distances between embeddings: contrastive and triplet."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from striate.losses.reduction import Reduction, reduce_loss

__all__ = ["contrastive_loss", "triplet_loss"]


def contrastive_loss(
    embeddings: Float[Tensor, "B C"],
    others: Float[Tensor, "B C"],
    same: Bool[Tensor, "B"],
    *,
    reduction: Reduction = "mean",
    margin: float = 1.0,
) -> Float[Tensor, "..."]:
    """Contrastive loss: ½ D² for a pair of the same kind, ½ max(0, m − D)² for one that differs.

    Args:
        embeddings, others: The two members of each pair.
        same: True where both are of the same kind.
        reduction: "none" gives (B,).
        margin: m, the distance beyond which different items are left alone.

    Source: Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping
    (2006), eq. 4.

    Example:
        >>> pair = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.6, 0.0]])
        >>> contrastive_loss(*pair, torch.tensor([False]))
        tensor(0.0800)
    """
    distance = _distance(embeddings, others)
    apart = (margin - distance).clamp(min=0)
    return reduce_loss(torch.where(same, distance, apart).square() / 2, reduction)


def triplet_loss(
    anchor: Float[Tensor, "B C"],
    positive: Float[Tensor, "B C"],
    negative: Float[Tensor, "B C"],
    *,
    reduction: Reduction = "mean",
    margin: float = 0.2,
    squared: bool = True,
) -> Float[Tensor, "..."]:
    """Triplet loss max(0, D²(a, p) − D²(a, n) + m).

    Args:
        anchor, positive, negative: Embeddings; the positive is of the anchor's kind.
        reduction: "none" gives (B,).
        margin: m; 0.2 is the paper's, for embeddings of length 1.
        squared: Compare squared distances, as the paper does, or plain ones.

    Source: Schroff, Kalenichenko and Philbin, FaceNet (2015), eq. 3.

    Example:
        >>> rows = torch.tensor([[0.0]]), torch.tensor([[1.0]]), torch.tensor([[0.5]])
        >>> triplet_loss(*rows)
        tensor(0.9500)
    """
    near = _squared_distance(anchor, positive) if squared else _distance(anchor, positive)
    far = _squared_distance(anchor, negative) if squared else _distance(anchor, negative)
    return reduce_loss((near - far + margin).clamp(min=0), reduction)


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(-1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance whose gradient at 0 is 0: equal items have no direction to part in."""
    squared = _squared_distance(a, b)
    apart = squared > 0
    return torch.where(apart, squared, 1).sqrt() * apart
