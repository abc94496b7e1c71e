"""Classification: one class out of K for each image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data.batch import Batch
from striate.evaluation.metric import Columns, Meter, Metric
from striate.losses import expected_loss_at_chance
from striate.tasks.task import Build, DataShape, Setting, Task

__all__ = ["Classification", "ClassificationMeter"]

_LEAST = 1e-12
"""Probability below which the loss of a validation is no longer distinguished."""


class Classification(Task):
    """One class out of K for each image."""

    needs = ("image", "category")

    def networks(self, build: Build, data: DataShape) -> nn.ModuleDict:
        names = data.fields["category"].names  # type: ignore[attr-defined]
        return nn.ModuleDict({"network": build("network", num_classes=len(names))})

    def losses(self, networks: nn.ModuleDict, batch: Batch, phase: str) -> dict[str, Tensor]:
        """The loss that is minimised, under "loss", and its parts.

        A network with auxiliary heads returns several scores while it trains; the others count
        with its `auxiliary_weight`.
        """
        network: Any = networks["network"]
        scores, target = network(batch["image"]), batch["category"]
        if not isinstance(scores, tuple):
            return {"loss": self.loss(scores.float(), target)}
        main = self.loss(scores[0].float(), target)
        auxiliary = torch.stack([self.loss(s.float(), target) for s in scores[1:]]).sum()
        weight = float(network.auxiliary_weight)
        return {"loss": main + weight * auxiliary, "main": main, "auxiliary": auxiliary}

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Softmax of the scores in float64, so that ties and sums mean something."""
        return {"probabilities": torch.softmax(outputs["scores"].cpu().double(), dim=1)}

    def meter(self, data: DataShape) -> Meter:
        return ClassificationMeter()

    def settings(self) -> dict[str, Setting]:
        loss = {"name": "softmax_cross_entropy", "label_smoothing": 0.1}
        why = "softened targets keep the network from overconfidence"
        return {"loss": Setting("loss", loss, why, "cross-entropy, smoothing 0.1")}

    def chance(self, data: DataShape) -> float | None:
        names = data.fields["category"].names  # type: ignore[attr-defined]
        if self.loss_pick is None:
            return None
        return expected_loss_at_chance(self.loss_pick.name, len(names))


class ClassificationMeter:
    """Rows: probabilities (N, K) in float64 and labels (N,); metrics: error and loss."""

    metrics: tuple[Metric, ...] = (
        Metric.mean(
            "error", True, lambda rows: rows["probabilities"].argmax(axis=1) != rows["labels"]
        ),
        Metric.mean("loss", True, lambda rows: _losses(rows["probabilities"], rows["labels"])),
    )

    def __init__(self) -> None:
        self._probabilities: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        self._probabilities.append(prediction["probabilities"].numpy())
        self._labels.append(batch["category"].cpu().numpy())

    def rows(self) -> Columns:
        return Columns(
            {
                "probabilities": np.concatenate(self._probabilities),
                "labels": np.concatenate(self._labels),
            }
        )


def _losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The cross-entropy of each item (N,)."""
    truth = probabilities[np.arange(len(labels)), labels]
    losses: np.ndarray = -np.log(np.maximum(truth, _LEAST))
    return losses
