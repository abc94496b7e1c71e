"""The logistic loss of score differences: the perceptron's sigmoid, and its many-class form."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.losses.reduction import IGNORE_INDEX, Reduction, reduce_loss, valid_mask

__all__ = ["logistic_loss"]


def logistic_loss(
    scores: Float[Tensor, "B K *S"],
    target: Int[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, "..."]:
    """Logistic loss Σ_{j≠y} −log σ(s_y − s_j): binary cross-entropy on score differences.

    One score is a perceptron's: p(class 1) = σ(s). Two scores give softmax cross-entropy, whose
    softmax is the sigmoid of their difference. With more it is the smooth form of the hinge loss.

    Args:
        scores: (B, K, *S); K = 1 means the classes 0 and 1.
        target: Class numbers (B, *S).
        reduction: "none" gives (B, *S).
        ignore_index: The class number that counts for nothing.

    Raises:
        ShapeError: shapes that do not fit.
        DataError: a class number out of range.

    Source: Rosenblatt (1958) for the unit, Cox (1958) for the likelihood; the sum over pairs is
    the logistic form of Weston and Watkins (1999).

    Example:
        >>> logistic_loss(torch.tensor([[0.4, 1.4]]), torch.tensor([1]))
        tensor(0.3133)
    """
    if scores.ndim >= 2 and scores.shape[1] == 1:
        scores = torch.cat((torch.zeros_like(scores), scores), 1)
    valid = valid_mask(scores, target, ignore_index)
    index = target.long().where(valid, 0).unsqueeze(1)
    terms = F.softplus(scores - scores.gather(1, index)).scatter(1, index, 0)
    return reduce_loss(terms.sum(1) * valid, reduction, valid)
