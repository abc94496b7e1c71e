"""The predicted class of one image, with the probabilities of all classes."""

from collections.abc import Iterable
from typing import Any

from striate.data.spelling import shown
from striate.evaluation.classification.prediction_file import RESERVED
from striate.tasks.prediction import Prediction, named_columns


class ClassPrediction(Prediction):
    """The predicted class of one image.

    Attributes:
        name: Name of the image, as it came.
        label: Most probable class; None when the image could not be read, or when the network is
            not sure enough of it.
        confidence: Probability of the most probable class.
        abstained: Whether the network is not sure enough for the largest error that was set.
        probabilities: Probability of each class, the most probable first.
        problem: Reason why the image could not be read; None when it could.
    """

    def __init__(
        self,
        name: str,
        probabilities: dict[str, float] | None,
        problem: str | None = None,
        *,
        threshold: float = 0.0,
    ) -> None:
        self.probabilities = probabilities or {}
        likeliest = next(iter(self.probabilities), None)
        self.confidence = self.probabilities[likeliest] if likeliest is not None else None
        self.abstained = self.confidence is not None and self.confidence < threshold
        self.label = None if self.abstained else likeliest
        values = {
            "label": self.label,
            "confidence": self.confidence,
            **({"abstained": True} if self.abstained else {}),
            "probabilities": self.probabilities,
        }
        super().__init__(name, values, problem)

    def cells(self) -> dict[str, Any]:
        columns = class_columns(self.probabilities)
        own = {"label": self.label or "", "confidence": self.confidence or ""}
        return own | {columns[name]: share for name, share in self.probabilities.items()}

    def text(self) -> str:
        best = list(self.probabilities.items())[:3]
        likely = "  ".join(f"{shown(label)} {share:.1%}" for label, share in best)
        return f"{'not sure: ' if self.abstained else ''}{likely}"


def class_columns(names: Iterable[str]) -> dict[str, str]:
    """The columns with the probabilities of classes: none is one that `measure` reads otherwise."""
    return named_columns(names, RESERVED, "p_")
