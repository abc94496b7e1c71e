"""One class out of K for each image."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

__all__ = ["Classification"]

Loss = Callable[[Tensor, Tensor], Tensor]


class Classification:
    """Classification: the loss of a batch and the probabilities of K classes.

    Args:
        loss: function (scores (B, K), target (B,) or (B, K)) -> mean loss of the batch.
    """

    phases = ("network",)

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def losses(
        self, network: nn.Module, images: Float[Tensor, "B C *S"], target: Num[Tensor, "B ..."]
    ) -> dict[str, Tensor]:
        """The loss that is minimised, under "loss", and its parts.

        A network with auxiliary heads returns several scores while it trains; the others count
        with its `auxiliary_weight`.
        """
        scores = network(images)
        if not isinstance(scores, tuple):
            return {"loss": self._loss(scores.float(), target)}
        main = self._loss(scores[0].float(), target)
        auxiliary = torch.stack([self._loss(s.float(), target) for s in scores[1:]]).sum()
        weight = float(network.auxiliary_weight)  # type: ignore[arg-type]
        return {"loss": main + weight * auxiliary, "main": main, "auxiliary": auxiliary}

    def probabilities(self, scores: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Softmax of the scores in float64, so that ties and sums mean something."""
        return torch.softmax(scores.double(), dim=1)
