"""Metrics of a classifier: from probabilities and truths to numbers with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.spelling import shown
from striate.errors import DataError, ShapeError
from striate.evaluation.classification.calibration import (
    ReliabilityBin,
    calibration_by_chance,
    calibration_interval,
    reliability,
)
from striate.evaluation.classification.loss import (
    FEW_MISTAKES,
    LARGEST_BRIER,
    LARGEST_LOSS,
    losses_of_a_mistake,
    losses_of_items,
)
from striate.evaluation.classification.macro import auc, macro_f1, mean_share
from striate.evaluation.classification.probability import checked, class_indices, truth_rank
from striate.evaluation.interval import Estimate, Proportion, wilson
from striate.evaluation.mean import mean_interval
from striate.typed_json import JsonRecord

Array = npt.NDArray[Any]

LARGEST_K = 5
"""Top-k errors are computed for k = 2..5, the range that the literature reports."""
_HIDDEN = 2.0
"""Times the error that the balanced error must be for a note on rare classes."""


@dataclass(frozen=True)
class ClassMetrics(JsonRecord):
    """Metrics of one class. What is undefined (0 of 0) is None, never 0."""

    name: str
    support: int
    """Items of this class."""
    precision: Proportion | None
    """Share of right ones among the predictions of this class; None when it was never predicted."""
    recall: Proportion | None
    """Share of this class's items that were recognised; None when there are none."""
    f1: float | None
    """2 TP / (2 TP + FP + FN); None when the class has no items."""


@dataclass(frozen=True)
class ClassificationMetrics(JsonRecord):
    """All metrics of one network on n items of K classes."""

    n: int
    class_names: tuple[str, ...]
    confidence: float
    """Coverage of all intervals."""
    error: Proportion
    top_k_error: dict[int, Proportion]
    """k -> share of items whose truth is not among the k most probable classes."""
    confusion: tuple[tuple[int, ...], ...]
    """K x K counts: row = truth, column = prediction."""
    classes: tuple[ClassMetrics, ...]
    balanced_accuracy: Estimate
    """Mean recall over the classes that have items."""
    macro_f1: Estimate | None
    """Mean F1 over the classes that have items; None in reports of older runs."""
    auc: Estimate | None = None
    """Mean over classes of the area under the ROC curve against the rest; None without
    probabilities or with one class."""
    negative_log_likelihood: Estimate | None = None
    """Mean of -ln p(truth), nats; this and what follows is None without probabilities."""
    brier_score: Estimate | None = None
    """Mean over items of the sum over classes of (p - [class is the truth])^2, 0..2."""
    calibration_error: Estimate | None = None
    """Expected calibration error over `reliability`. Its interval is that of the error which
    endless items would show, without the part that randomness adds."""
    calibration_by_chance: float | None = None
    """The calibration error that a perfectly calibrated network would show on as many items."""
    reliability: tuple[ReliabilityBin, ...] = ()
    """Empty without probabilities."""

    def lines(self) -> list[str]:
        """The headline figures as an aligned table for a terminal, then the worst confusions."""
        from striate.evaluation.classification.text import summary_lines

        return summary_lines(self)

    def sentence(self) -> str:
        """The error with its interval and n, in one line."""
        from striate.evaluation.text import percent

        value, low, high = map(percent, (self.error.value, self.error.low, self.error.high))
        return f"error {value} % [{low}, {high}] (95 % interval, n = {self.n:,})"

    def notes(self) -> list[str]:
        """A sentence on rare classes that are missed, which the error hardly shows."""
        balanced = 1 - self.balanced_accuracy.value
        missed = [c for c in self.classes if c.recall is not None and c.recall.value < 0.5]
        if balanced < _HIDDEN * self.error.value or not missed:
            return []
        missed.sort(key=lambda c: c.recall.value if c.recall else 1.0)
        few = ", ".join(
            f"{shown(c.name)} ({c.recall.count} of {c.support})" for c in missed[:5] if c.recall
        )
        return [
            f"Rare classes are missed: the balanced error, where each class counts equally, is "
            f"{100 * balanced:.3g} %, the error {100 * self.error.value:.3g} %. Recalled least: "
            f"{few}. To weigh all classes equally: --set loss.class_weights=balanced"
        ]

    def headline(self) -> dict[str, Any]:
        """The numbers that the ledger keeps of an opening: the error with its interval."""
        return {
            "n": self.n,
            "wrong": self.error.count,
            "error": self.error.value,
            "low": self.error.low,
            "high": self.error.high,
        }


def calibration_figures(metrics: ClassificationMetrics) -> dict[str, Any]:
    """The metrics that calibration changes, as JSON values."""
    figures = metrics.to_json()
    losses = ("negative_log_likelihood", "brier_score")
    calibration = ("calibration_error", "calibration_by_chance", "reliability")
    return {key: figures[key] for key in (*losses, *calibration)}


def measure(
    probabilities: Array,
    target: Array,
    class_names: Sequence[str],
    *,
    confidence: float = 0.95,
    bins: int = 15,
) -> ClassificationMetrics:
    """All metrics of a classifier's probabilities against the truth, with intervals.

    Shares of items carry Wilson intervals; balanced accuracy, macro F1 and AUC Wilson's at the
    effective number of items; log-likelihood and Brier score Hall's for the mean of skewed
    values, longer upwards where one mistake or none was seen; the calibration error one without
    the part that randomness adds. benchmarks/coverage.py counts how often each holds the true
    value. Of equally probable classes the one with the lower index comes first, in the prediction
    and in the top k, as in `numpy.argmax`.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class, 0..K-1.
        class_names: K names.
        confidence: coverage of the intervals.
        bins: bins of equal width for calibration.

    Raises:
        ShapeError: arrays that do not fit together.
        DataError: no items, values that are not finite or no probabilities, targets that are
            no class.

    Example:
        >>> p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
        >>> metrics = measure(p, np.array([0, 2, 1]), ["cat", "car", "frog"])
        >>> metrics.error.count, metrics.top_k_error[2].count
        (1, 0)
    """
    probabilities, target = checked(probabilities, target, class_names)
    n, num_classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    rank = truth_rank(probabilities, target)
    binned = reliability(probabilities.max(axis=1), predicted == target, bins=bins)
    log_losses, briers = losses_of_items(probabilities, target)
    unseen: tuple[float | None, float | None] = (None, None)
    if int((predicted != target).sum()) <= FEW_MISTAKES:
        unseen = losses_of_a_mistake(probabilities)
    return replace(
        measure_predictions(predicted, target, class_names, confidence=confidence),
        top_k_error={
            k: wilson(int((rank >= k).sum()), n, confidence=confidence)
            for k in range(2, min(LARGEST_K, num_classes - 1) + 1)
        },
        auc=auc(probabilities, target, confidence=confidence),
        negative_log_likelihood=mean_interval(
            log_losses, confidence=confidence, unseen=unseen[0], most=LARGEST_LOSS
        ),
        brier_score=mean_interval(
            briers, confidence=confidence, unseen=unseen[1], most=LARGEST_BRIER
        ),
        calibration_error=calibration_interval(binned, confidence=confidence),
        calibration_by_chance=calibration_by_chance(binned),
        reliability=binned,
    )


def measure_predictions(
    predicted: Array, target: Array, class_names: Sequence[str], *, confidence: float = 0.95
) -> ClassificationMetrics:
    """The metrics that predictions without probabilities allow, with intervals.

    Args:
        predicted: Index of the predicted class (N,), 0..K-1.
        target: (N,) index of the true class, 0..K-1.
        class_names: K names.
        confidence: coverage of the intervals.

    Raises:
        ShapeError: arrays that do not fit together.
        DataError: no items, or indices that are no class.

    Example:
        >>> metrics = measure_predictions(np.array([0, 1, 1]), np.array([0, 1, 0]), ["cat", "car"])
        >>> metrics.error.count, metrics.auc
        (1, None)
    """
    predicted, target, num_classes = np.asarray(predicted), np.asarray(target), len(class_names)
    if predicted.ndim != 1 or predicted.shape != target.shape:
        raise ShapeError(
            "Measuring takes N predictions and N targets; what came are shapes "
            f"{predicted.shape} and {target.shape}."
        )
    if not len(predicted):
        raise DataError("There is nothing to measure: no items came.")
    predicted = class_indices("Predictions", predicted, num_classes)
    target = class_indices("Targets", target, num_classes)
    confusion = np.bincount(target * num_classes + predicted, minlength=num_classes**2)
    confusion = confusion.reshape(num_classes, num_classes)
    support = confusion.sum(axis=1)
    present = support > 0
    return ClassificationMetrics(
        n=len(target),
        class_names=tuple(class_names),
        confidence=confidence,
        error=wilson(int((predicted != target).sum()), len(target), confidence=confidence),
        top_k_error={},
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        classes=_classes(confusion, class_names, confidence),
        balanced_accuracy=mean_share(
            confusion.diagonal()[present], support[present], confidence=confidence
        ),
        macro_f1=macro_f1(confusion, confidence=confidence),
    )


def _classes(
    confusion: npt.NDArray[np.int64], names: Sequence[str], confidence: float
) -> tuple[ClassMetrics, ...]:
    def share(count: int, n: int) -> Proportion | None:
        return wilson(count, n, confidence=confidence) if n else None

    rows = zip(
        names,
        confusion.diagonal().tolist(),
        confusion.sum(axis=1).tolist(),
        confusion.sum(axis=0).tolist(),
        strict=True,
    )
    metrics = []
    for name, hits, support, predicted in rows:
        f1 = 2 * hits / (support + predicted) if support else None
        shares = share(hits, predicted), share(hits, support)
        metrics.append(ClassMetrics(name, support, *shares, f1))
    return tuple(metrics)
