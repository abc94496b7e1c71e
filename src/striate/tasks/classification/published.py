"""Published weights of classifiers: their classes matched with those of data, and their figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.data import ImageSet
from striate.data.measured import MeasuredPart
from striate.evaluation import ClassificationMetrics, measure, percent
from striate.networks.class_order import answer_names, class_order
from striate.networks.weight_file import WeightFile


@dataclass(frozen=True)
class Matching:
    """The classes of data among those of published weights."""

    file: WeightFile
    class_names: tuple[str, ...]
    """Classes of the data."""
    order: tuple[int, ...]
    """Position of each of them among the K outputs."""

    @classmethod
    def of(cls, file: WeightFile, class_names: Sequence[str]) -> "Matching":
        """The classes of data matched by name.

        Raises:
            ConfigError: classes that the network's outputs do not match.
        """
        return cls(file, tuple(class_names), tuple(class_order(file.weights, class_names)))

    def figures(self, outputs: dict[str, np.ndarray], images: ImageSet) -> ClassificationMetrics:
        """The figures of outputs for images with the data's labels."""
        labels = np.array(self.order, dtype=np.int64)[images.labels]
        return measure(outputs["probabilities"], labels, self._names())

    def sentence(self) -> str:
        """How classes were matched, with an example, so that a wrong order is seen."""
        outputs = self._names()
        count = f"the network's {len(outputs)} outputs"
        if len(self.class_names) < len(outputs):
            count = f"{len(self.class_names)} of {count}"
        shown = list(zip(self.class_names, self.order, strict=True))[:3]
        pairs = ", ".join(
            f"{name} is output {index}" + (f" ({outputs[index]})" if outputs[index] != name else "")
            for name, index in shown
        )
        return f"The data's classes are {count}: {pairs}, ..."

    def _names(self) -> tuple[str, ...]:
        """Names of all K outputs: the data's where they have the class, else the weights'."""
        weights = self.file.weights
        names = list(answer_names(weights) or map(str, range(weights.num_classes)))
        if answer_names(weights) is None:
            for name, index in zip(self.class_names, self.order, strict=True):
                names[index] = name
        return tuple(names)


@dataclass(frozen=True)
class PublishedEvaluation:
    """The metrics of published weights on a set of images."""

    file: WeightFile
    data: str
    part: MeasuredPart
    metrics: ClassificationMetrics
    classes: str
    """How the data's classes were matched with the outputs, in a sentence."""
    opening: int | None
    """Which opening of the test split this was; None where no test split was opened."""
    findings: tuple[str, ...]
    """Signs that the ledger was altered; empty when it is sound."""

    def notes(self) -> list[str]:
        """Notes for people beside the table, in sentences."""
        named, weights = self.part.split, self.file.weights
        lines = [self._published(), self.classes]
        if self.opening is not None:
            lines.append(f"This was opening {self.opening} of this test split.")
        elif named is not None:
            lines.append(f"The data name no test split; their {named} split was measured.")
        else:
            lines.append("The data name no split: all of their images were measured.")
        if self.part.broken:
            lines.append(
                f"{len(self.part.broken)} file(s) gave no picture and were left out; the first: "
                f"{self.part.broken[0].name}."
            )
        lines += [f"The ledger was altered: {finding}" for finding in self.findings]
        lines.append(f"Weights: {self.file.path} (licence: {weights.licence})")
        return lines

    def _published(self) -> str:
        weights, error = self.file.weights, self.metrics.error
        if not self.file.is_published:
            return "The file is not the published one; no published figure stands beside it."
        shown = f"error {percent(weights.top1_error / 100)} %"
        if weights.top5_error is not None:
            shown += f", top-5 error {percent(weights.top5_error / 100)} %"
        inside = error.low <= weights.top1_error / 100 <= error.high
        verdict = "inside" if inside else "outside"
        return f"published: {shown} ({weights.measured_on}); {verdict} the interval above"

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        weights = self.file.weights
        published = {
            "error": weights.top1_error / 100,
            "top5_error": None if weights.top5_error is None else weights.top5_error / 100,
            "measured_on": weights.measured_on,
        }
        return {
            "weights": {
                "name": self.file.name,
                "file": str(self.file.path),
                "sha256": self.file.sha256,
                "is_published": self.file.is_published,
            },
            "published": published if self.file.is_published else None,
            "data": self.data,
            "split": self.part.split,
            "opening": self.opening,
            "broken": [vars(file) for file in self.part.broken],
            "measures": self.metrics.to_json(),
        }
