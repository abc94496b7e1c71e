"""Connectionist temporal classification: the likelihood of a text under unaligned scores."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ShapeError
from striate.losses.reduction import Reduction, reduce_loss

__all__ = ["ctc_loss"]


def ctc_loss(
    scores: Float[Tensor, "B K T"],
    target: Int[Tensor, "B N"],
    target_lengths: Int[Tensor, "..."],
    score_lengths: Int[Tensor, "..."] | None = None,
    *,
    reduction: Reduction = "mean",
    blank: int = 0,
    zero_infinity: bool = True,
) -> Float[Tensor, "..."]:
    """CTC loss −log Σ over alignments of Π_t p_t, for each line of text.

    Args:
        scores: (B, K, T), unnormalised, one column of K symbols per time step.
        target: (B, N) symbols of each line, padded with anything.
        target_lengths: (B,) symbols in each line.
        score_lengths: (B,) time steps of each item; None: all T.
        reduction: "none" gives (B,); "mean" is over lines (torch's first divides each by the
            length of its text).
        blank: The symbol that writes nothing.
        zero_infinity: a text too long for its steps has the loss 0 and no gradient; otherwise ∞.

    Raises:
        ShapeError: lengths that do not fit.

    Source: Graves et al., Connectionist Temporal Classification (2006), eqs. 5-8.

    Example:
        >>> scores = torch.zeros(1, 2, 2)
        >>> ctc_loss(scores, torch.tensor([[1]]), torch.tensor([1]))
        tensor(0.2877)
    """
    batch, _, num_steps = scores.shape
    if score_lengths is None:
        score_lengths = torch.full((batch,), num_steps, dtype=torch.long)
    for name, lengths, longest in (
        ("target_lengths", target_lengths, target.shape[1]),
        ("score_lengths", score_lengths, num_steps),
    ):
        if tuple(lengths.shape) != (batch,) or (batch and int(lengths.max()) > longest):
            raise ShapeError(
                f"{name} of shape {tuple(lengths.shape)} with values {lengths.tolist()} do not "
                f"fit; accepted: {batch} lengths of at most {longest}."
            )
    losses = F.ctc_loss(
        F.log_softmax(scores, 1).permute(2, 0, 1),
        target.long(),
        score_lengths.long(),
        target_lengths.long(),
        blank=blank,
        reduction="none",
        zero_infinity=zero_infinity,
    )
    return reduce_loss(losses, reduction)
