"""Regression: one or several numbers for each image."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import ImageSet
from striate.data.batch import Batch
from striate.data.field import Field, Value
from striate.data.field.value import why_values
from striate.data.source import Source
from striate.evaluation.metric import Columns, KeepingMeter, Meter
from striate.evaluation.regression import value_metrics, value_section
from striate.evaluation.report import Section
from striate.registry import Pick
from striate.tasks.auxiliary import with_auxiliary
from striate.tasks.prediction import Prediction
from striate.tasks.task import DataShape, Explained, ReportedSplit, Setting, Task


class Regression(Task):
    """One or several numbers for each image.

    Networks learn numbers of mean 0 and deviation 1 in the training split; predictions are in the
    units of the data. Missing numbers are nan, and count for nothing.

    Args:
        loss: Name and arguments of the loss: l2, l1, huber or charbonnier.
        columns: Columns to predict, or their names with commas; None: value, or the labels, or all
            columns of numbers.
    """

    needs = ("image", "value")
    loss_arguments = ("image", "target")
    unsuited: ClassVar[tuple[str, ...]] = ("resized_crop", "affine")

    def __init__(
        self, loss: Pick | None = None, columns: tuple[str, ...] | str | None = None
    ) -> None:
        super().__init__(loss)
        listed = columns.split(",") if isinstance(columns, str) else columns or ()
        self.column_names = [name.strip().lower() for name in listed]

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        return why_values(source)

    def fields(self, source: Source) -> dict[str, Field]:
        return {"value": Value.of(source, "value", self.column_names)}

    def num_outputs(self, num_classes: int) -> int:
        return max(1, len(self.column_names))

    def settings(self) -> dict[str, Setting]:
        why = "squared where it is small; outliers pull less than with l2"
        mean = "what an image holds is summed up over its whole area"
        size = "how large things are seen may tell the number"
        return {
            "network": Setting("network", {"name": "airbench", "pool": "mean"}, mean, "airbench"),
            "training.small_share": Setting("smaller at first", 0.0, size, "no"),
            "loss": Setting("loss", {"name": "huber"}, why, "Huber's"),
        }

    def prepare(self, train: ImageSet) -> dict[str, Any]:
        """Mean, standard deviation and median (T,) of the numbers of the training split."""
        field: Any = train.fields["value"]
        return {**super().prepare(train), **field.statistics(train.columns["value"])}

    def losses(self, networks: nn.ModuleDict, batch: Batch, phase: str) -> dict[str, Tensor]:
        known = ~batch["value"].isnan()

        def loss(scores: Tensor) -> Tensor:
            if not known.any():
                return scores.sum() * 0
            target = (batch["value"] - self._fact("mean", scores)) / self._fact("std", scores)
            return self.loss(scores[known], target[known])

        return with_auxiliary(networks["network"], batch["image"], loss)

    def weight(self, batch: Batch) -> float:
        return float((~batch["value"].isnan()).sum())

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The numbers (B, T) float64 in the units of the data."""
        scores = outputs["scores"].cpu().double()
        return {"value": scores * self._fact("std", scores) + self._fact("mean", scores)}

    def _fact(self, name: str, like: Tensor) -> Tensor:
        return torch.tensor(self.facts[name], dtype=like.dtype, device=like.device)

    def meter(self, data: DataShape) -> Meter:
        metrics = value_metrics(_names(data), self.facts["mean"], self.facts["median"])
        return KeepingMeter(
            metrics,
            lambda prediction, batch: {
                "value": batch["value"].cpu().numpy(),
                "predicted value": prediction["value"].numpy(),
            },
        )

    def best_constant(self, rows: Columns) -> float | None:
        """The mean absolute error of the medians of the training split."""
        errors = np.abs(np.asarray(rows["value"], np.float64) - self.facts["median"])
        each = np.ma.masked_invalid(errors).mean(axis=1)
        return float(each.mean()) if each.count() else None

    def describe(
        self, names: Sequence[str], outputs: Mapping[str, np.ndarray], data: DataShape
    ) -> list[Prediction]:
        return [
            Prediction(name, dict(zip(_names(data), row, strict=True)))
            for name, row in zip(names, outputs["value"].tolist(), strict=True)
        ]

    def explained(
        self,
        outputs: Mapping[str, np.ndarray],
        data: DataShape,
        at: tuple[int, int] | None = None,
    ) -> list[Explained]:
        """Each of the numbers, in the units of the data."""
        super().explained(outputs, data, at)  # refuses a position

        def number(y: Tensor, column: int) -> Tensor:
            return y[:, column] * self._fact("std", y)[column] + self._fact("mean", y)[column]

        return [
            Explained(name, partial(number, column=column))
            for column, name in enumerate(_names(data))
        ]

    def sections(self, split: ReportedSplit) -> list[Section]:
        return [value_section(split.rows, _names(split.data))]


def _names(data: DataShape) -> tuple[str, ...]:
    return data.fields["value"].names
