"""Classification: one class out of K for each image."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Dataset, ImageSet
from striate.data.batch import Batch
from striate.data.field.value import are_numbers, are_values
from striate.data.source import Source
from striate.evaluation.classification.loss import losses_of_items
from striate.evaluation.classification.measure import ClassificationMetrics, measure
from striate.evaluation.classification.mistake import wrong_pictures
from striate.evaluation.classification.report import write
from striate.evaluation.metric import Columns, KeepingMeter, Meter, Metric
from striate.evaluation.stored import Predictions
from striate.losses import expected_loss_at_chance
from striate.run_folder import RunFolder
from striate.tasks.auxiliary import with_auxiliary
from striate.tasks.classification.compare import ClassComparison, compare_classes
from striate.tasks.classification.evidence import calibration_of, fit_calibration, validated
from striate.tasks.classification.prediction import ClassPrediction, class_columns
from striate.tasks.classification.report import report_parts
from striate.tasks.prediction import Prediction
from striate.tasks.task import DataShape, ReportedSplit, Setting, Task

_MOST_LOSS = -math.log(1e-12)
"""Loss of an item above which losses of a validation are no longer distinguished."""


class Classification(Task):
    """One class out of K for each image."""

    needs = ("image", "category")

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """The reason why labels of a list that are whole numbers are taken for classes."""
        names, columns = source.class_names, source.items[0].columns or {}
        if list(columns) != ["label"] or not are_numbers(names) or are_values(names):
            return None
        return f"the labels are {len(names)} whole numbers; if they are values: --task regression"

    def losses(self, networks: nn.ModuleDict, batch: Batch, phase: str) -> dict[str, Tensor]:
        target = batch["category"]
        return with_auxiliary(
            networks["network"], batch["image"], lambda scores: self.loss(scores, target)
        )

    def weight(self, batch: Batch) -> float:
        """The number of items, or the sum of the weights of their classes."""
        weights = self.facts.get("loss", {}).get("class_weights")
        if weights is None:
            return float(len(batch))
        target, per_class = batch["category"].cpu(), torch.tensor(weights)
        each = target @ per_class if target.is_floating_point() else per_class[target]
        return float(each.sum())

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Softmax of the scores in float64, so that ties and sums mean something."""
        return {"probabilities": torch.softmax(outputs["scores"].cpu().double(), dim=1)}

    def meter(self, data: DataShape) -> Meter:
        return KeepingMeter(_METRICS, _rows)

    def best_constant(self, rows: Columns) -> float | None:
        return 1 - float(np.bincount(rows["labels"]).max()) / len(rows)

    def figures(self, rows: Columns, data: DataShape) -> ClassificationMetrics:
        return measure(rows["probabilities"], rows["labels"], _names(data))

    def figures_from_json(self, value: Mapping[str, Any]) -> ClassificationMetrics:
        return ClassificationMetrics.from_json(value)

    def describe(
        self,
        names: Sequence[str],
        outputs: Mapping[str, np.ndarray],
        data: DataShape,
        threshold: float = 0.0,
    ) -> list[Prediction]:
        classes = _names(data)
        predictions: list[Prediction] = []
        for name, row in zip(names, outputs["probabilities"], strict=True):
            ranked = {classes[k]: float(row[k]) for k in np.argsort(-row, kind="stable")}
            predictions.append(ClassPrediction(name, ranked, threshold=threshold))
        return predictions

    def unreadable(self, name: str, problem: str) -> Prediction:
        return ClassPrediction(name, None, problem)

    def columns(self, predictions: Sequence[Prediction], data: DataShape) -> tuple[str, ...]:
        return ("label", "confidence", *class_columns(_names(data)).values())

    def calibrate(self, folder: RunFolder, *, classwise: bool = False) -> dict[str, Any]:
        return fit_calibration(folder, classwise=classwise)

    def finish(self, folder: RunFolder) -> None:
        fit_calibration(folder)

    def adjusted(
        self, folder: RunFolder, outputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        scaling, _ = calibration_of(folder)
        return {**outputs, "probabilities": scaling(outputs["probabilities"])}

    def held_out(self, folder: RunFolder) -> Columns:
        probabilities, labels = validated(folder)
        return Columns({"probabilities": probabilities, "labels": labels})

    def pictures(self, split: ImageSet, rows: Columns) -> dict[int, np.ndarray]:
        predicted = rows["probabilities"].argmax(axis=1)
        return wrong_pictures(split.images, predicted, rows["labels"])

    def compare(
        self,
        names: Sequence[str],
        predictions: Sequence[Predictions],
        data: DataShape,
        pictures: Mapping[int, Callable[[], np.ndarray | None]],
        *,
        split: str,
        notes: tuple[str, ...],
        tiny: bool,
    ) -> ClassComparison:
        return compare_classes(
            names, predictions, _names(data), pictures, split=split, notes=notes, tiny=tiny
        )

    def report(self, folder: RunFolder, data: Dataset, split: ReportedSplit) -> dict[str, Any]:
        return report_parts(folder, data, split)

    def write_report(self, folder: Path, facts: Mapping[str, Any], split: ReportedSplit) -> None:
        write(folder, facts)

    def settings(self) -> dict[str, Setting]:
        loss = {"name": "softmax_cross_entropy", "label_smoothing": 0.1}
        why = "softened targets keep the network from overconfidence"
        return {"loss": Setting("loss", loss, why, "cross-entropy, smoothing 0.1")}

    def chance_level(self, data: DataShape) -> float | None:
        if self.loss_pick is None:
            return None
        return expected_loss_at_chance(self.loss_pick.name, len(_names(data)))


_METRICS = (
    Metric.mean("error", True, lambda rows: rows["probabilities"].argmax(axis=1) != rows["labels"]),
    Metric.mean(
        "loss",
        True,
        lambda rows: losses_of_items(rows["probabilities"], rows["labels"])[0].clip(max=_MOST_LOSS),
        most=_MOST_LOSS,
    ),
)


def _rows(prediction: Mapping[str, Tensor], batch: Batch) -> dict[str, np.ndarray]:
    """Probabilities (B, K) in float64 and labels (B,)."""
    labels = batch["category"].cpu().numpy()
    return {"probabilities": prediction["probabilities"].numpy(), "labels": labels}


def _names(data: DataShape) -> tuple[str, ...]:
    category: Any = data.fields["category"]
    return tuple(category.names)
