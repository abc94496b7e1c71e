"""The multi-class support vector machine's loss: every wrong score a margin below the right one."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from striate.losses.reduction import (
    IGNORE_INDEX,
    Reduction,
    checked_class_weights,
    reduce_loss,
    valid_mask,
)

__all__ = ["hinge_loss"]


def hinge_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    margin: float = 1.0,
    squared: bool = False,
    include_correct: bool = False,
    class_weights: Float[Tensor, "..."] | Sequence[float] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, "..."]:
    """Multi-class hinge loss Σ_{j≠y} max(0, s_j − s_y + Δ).

    With `margin=0` it is the perceptron's criterion.

    Args:
        scores: (B, K, *S).
        target: Class numbers (B, *S).
        reduction: "none" gives (B, *S).
        margin: Δ, in the units of the scores.
        squared: Square each term.
        include_correct: Sum over all j; the term of the right class adds exactly Δ (Δ² when
            squared) to each target and nothing to the gradient.
        class_weights: (K,), the weight of a target of each class.
        ignore_index: The class number that counts for nothing.

    Raises:
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Weston and Watkins, Support vector machines for multi-class pattern recognition (1999).

    Example:
        >>> import torch
        >>> hinge_loss(torch.tensor([[3.2, 5.1, -1.7]]), torch.tensor([0]))
        tensor(2.9000)
    """
    class_weights = checked_class_weights(scores, class_weights)
    valid = valid_mask(scores, target, ignore_index)
    index = target.long().where(valid, 0).unsqueeze(1)
    terms = (scores - scores.gather(1, index) + margin).clamp(min=0)
    if not include_correct:
        terms = terms.scatter(1, index, 0)
    losses = (terms.square() if squared else terms).sum(1)
    weights = valid.to(losses.dtype)
    if class_weights is not None:
        weights = weights * class_weights[index.squeeze(1)]
    return reduce_loss(losses * weights, reduction, weights)
