"""The loss of a network that returns further scores, of auxiliary heads, while it trains."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def with_auxiliary(
    network: Any, images: Tensor, loss: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The loss that is minimised, under "loss", and its parts.

    Args:
        network: Network of scores; with auxiliary heads it returns several, which count with its
            `auxiliary_weight`.
        images: Images of a batch.
        loss: Loss of scores.
    """
    scores = network(images)
    if not isinstance(scores, tuple):
        return {"loss": loss(_whole(scores))}
    main = loss(_whole(scores[0]))
    auxiliary = torch.stack([loss(_whole(each)) for each in scores[1:]]).sum()
    weight = float(network.auxiliary_weight)
    return {"loss": main + weight * auxiliary, "main": main, "auxiliary": auxiliary}


def _whole(scores: Tensor) -> Tensor:
    """Scores in float32, where they came in half of it."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
