"""Measures of a classifier: from probabilities and truths to numbers with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.evaluation.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    reliability,
)
from striate.evaluation.interval import Estimate, Proportion, bootstrap, wilson
from striate.evaluation.prediction import checked, truth_rank
from striate.evaluation.stratum import mean_share
from striate.randomness import generator

__all__ = ["ClassMeasures", "Measures", "measure"]

Array = npt.NDArray[Any]

LARGEST_K = 5
"""Top-k errors are given for k = 2..5, the range that the literature reports."""


@dataclass(frozen=True)
class ClassMeasures:
    """How one class fared. What is undefined (0 of 0) is None, never 0."""

    name: str
    support: int
    """Items of this class."""
    precision: Proportion | None
    """Share of right ones among the answers for this class; None when it was never answered."""
    recall: Proportion | None
    """Share of this class's items that were found; None when there are none."""
    f1: float | None
    """2 TP / (2 TP + FP + FN); None when the class has no items."""

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON values."""
        return {
            "name": self.name,
            "support": self.support,
            "precision": self.precision.to_json() if self.precision else None,
            "recall": self.recall.to_json() if self.recall else None,
            "f1": self.f1,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ClassMeasures":
        """The measures back from `to_json`."""
        precision, recall = value["precision"], value["recall"]
        return cls(
            name=value["name"],
            support=value["support"],
            precision=Proportion.from_json(precision) if precision else None,
            recall=Proportion.from_json(recall) if recall else None,
            f1=value["f1"],
        )


@dataclass(frozen=True)
class Measures:
    """All measures of one network on n items of K classes."""

    n: int
    class_names: tuple[str, ...]
    confidence: float
    """Coverage of all intervals."""
    error: Proportion
    top_k_error: dict[int, Proportion]
    """k -> share of items whose truth is not among the k most probable classes."""
    confusion: tuple[tuple[int, ...], ...]
    """K x K counts: row = truth, column = answer."""
    classes: tuple[ClassMeasures, ...]
    balanced_accuracy: Estimate
    """Mean recall over the classes that have items."""
    negative_log_likelihood: Estimate
    """Mean of -ln p(truth), nats."""
    brier_score: Estimate
    """Mean over items of the sum over classes of (p - [class is the truth])^2, 0..2."""
    calibration_error: Estimate
    """Expected calibration error over `reliability`."""
    reliability: tuple[ReliabilityBin, ...]

    def headline(self) -> dict[str, Any]:
        """The numbers that the ledger keeps of an opening: the error with its interval."""
        return {
            "n": self.n,
            "wrong": self.error.count,
            "error": self.error.value,
            "low": self.error.low,
            "high": self.error.high,
        }

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON values."""
        return {
            "n": self.n,
            "class_names": list(self.class_names),
            "confidence": self.confidence,
            "error": self.error.to_json(),
            "top_k_error": {str(k): share.to_json() for k, share in self.top_k_error.items()},
            "confusion": [list(row) for row in self.confusion],
            "classes": [item.to_json() for item in self.classes],
            "balanced_accuracy": self.balanced_accuracy.to_json(),
            "negative_log_likelihood": self.negative_log_likelihood.to_json(),
            "brier_score": self.brier_score.to_json(),
            "calibration_error": self.calibration_error.to_json(),
            "reliability": [item.to_json() for item in self.reliability],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Measures":
        """The measures back from `to_json`."""
        return cls(
            n=value["n"],
            class_names=tuple(value["class_names"]),
            confidence=value["confidence"],
            error=Proportion.from_json(value["error"]),
            top_k_error={
                int(k): Proportion.from_json(share) for k, share in value["top_k_error"].items()
            },
            confusion=tuple(tuple(row) for row in value["confusion"]),
            classes=tuple(ClassMeasures.from_json(item) for item in value["classes"]),
            balanced_accuracy=Estimate.from_json(value["balanced_accuracy"]),
            negative_log_likelihood=Estimate.from_json(value["negative_log_likelihood"]),
            brier_score=Estimate.from_json(value["brier_score"]),
            calibration_error=Estimate.from_json(value["calibration_error"]),
            reliability=tuple(ReliabilityBin(**item) for item in value["reliability"]),
        )


def measure(
    probabilities: Array,
    target: Array,
    class_names: Sequence[str],
    *,
    confidence: float = 0.95,
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
) -> Measures:
    """All measures of a classifier's probabilities against the truth, with intervals.

    Shares of items carry Wilson intervals; balanced accuracy Wilson's at the effective number of
    items (`mean_share`); log-likelihood and Brier score a bootstrap over items, and none where
    all items have the same value, which says nothing of the spread; the calibration error none.
    Of equally probable classes the one with the lower index comes first, in the answer and in
    the top k, as in `numpy.argmax`.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class, 0..K-1.
        class_names: K names.
        confidence: coverage of the intervals.
        bins: bins of equal width for calibration.
        resamples: bootstrap resamples; 0 leaves those two intervals out, which is quicker.
        seed: of the bootstrap.

    Raises:
        ShapeError: arrays that do not fit together.
        DataError: no items, values that are not finite or no probabilities, targets that are
            no class.

    Example:
        >>> p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
        >>> measures = measure(p, np.array([0, 2, 1]), ["cat", "car", "frog"])
        >>> measures.error.count, measures.top_k_error[2].count
        (1, 0)
    """
    probabilities, target = checked(probabilities, target, class_names)
    n, num_classes = probabilities.shape
    answer = probabilities.argmax(axis=1)
    correct = answer == target
    rank = truth_rank(probabilities, target)
    confusion = np.bincount(target * num_classes + answer, minlength=num_classes**2)
    confusion = confusion.reshape(num_classes, num_classes)
    binned = reliability(probabilities.max(axis=1), correct, bins=bins)
    truth = probabilities[np.arange(n), target]
    # A zero is a single-precision softmax that underflowed; the smallest normal float32 stands
    # for it, so that the mean stays finite (at most 87.3 nats for one item).
    log_losses = -np.log(np.maximum(truth, np.finfo(np.float32).tiny))
    briers = (probabilities**2).sum(axis=1) - 2 * truth + 1
    mean_over = _Bootstrap(n, confidence, resamples, seed)
    return Measures(
        n=n,
        class_names=tuple(class_names),
        confidence=confidence,
        error=wilson(int((~correct).sum()), n, confidence=confidence),
        top_k_error={
            k: wilson(int((rank >= k).sum()), n, confidence=confidence)
            for k in range(2, min(LARGEST_K, num_classes - 1) + 1)
        },
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        classes=_classes(confusion, class_names, confidence),
        balanced_accuracy=_balanced(confusion, confidence),
        negative_log_likelihood=mean_over.items(log_losses, "negative log-likelihood"),
        brier_score=mean_over.items(briers, "Brier score"),
        calibration_error=Estimate(expected_calibration_error(binned)),
        reliability=binned,
    )


def _classes(
    confusion: npt.NDArray[np.int64], names: Sequence[str], confidence: float
) -> tuple[ClassMeasures, ...]:
    def share(count: int, n: int) -> Proportion | None:
        return wilson(count, n, confidence=confidence) if n else None

    rows = zip(
        names,
        confusion.diagonal().tolist(),
        confusion.sum(axis=1).tolist(),
        confusion.sum(axis=0).tolist(),
        strict=True,
    )
    return tuple(
        ClassMeasures(
            name=name,
            support=support,
            precision=share(hits, answered),
            recall=share(hits, support),
            f1=2 * hits / (support + answered) if support else None,
        )
        for name, hits, support, answered in rows
    )


def _balanced(confusion: npt.NDArray[np.int64], confidence: float) -> Estimate:
    support = confusion.sum(axis=1)
    present = support > 0
    hits = confusion.diagonal()[present].tolist()
    return mean_share(hits, support[present].tolist(), confidence=confidence)


@dataclass(frozen=True)
class _Bootstrap:
    """Means with bootstrap intervals, each from its own stream of chance."""

    n: int
    confidence: float
    resamples: int
    seed: int

    def items(self, values: npt.NDArray[np.float64], stream: str) -> Estimate:
        if self.resamples == 0 or values.min() == values.max():
            return Estimate(float(values.mean()))
        return bootstrap(
            lambda items: float(values[items].mean()),
            self.n,
            generator=generator(self.seed, "bootstrap", stream),
            resamples=self.resamples,
            confidence=self.confidence,
        )
