"""Selective prediction: predict only where the network is sure enough, and know the error there."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError
from striate.evaluation.interval import clopper_pearson, wilson
from striate.typed_json import JsonRecord

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

THRESHOLDS = 32
"""More would place the threshold more finely and prove less at each."""


@dataclass(frozen=True)
class CoveragePoint(JsonRecord):
    """The predictions with a confidence of `threshold` or more: their number and their mistakes."""

    threshold: float
    answered: int
    wrong: int
    coverage: float
    """Share of items that are predicted."""
    error: float
    """Share of wrong ones among the predictions."""
    low: float
    high: float


@dataclass(frozen=True)
class Abstention(JsonRecord):
    """The threshold under which a network says "I do not know", and what it promises."""

    threshold: float
    """Least confidence of a prediction; above 1 where only silence keeps the promise."""
    promised: float
    """The error among the predictions stays at or below this one."""
    certainty: float
    """In so many of 100 validation sets the promise holds."""
    bound: float
    """The upper limit of the error that the validation items prove."""
    coverage: float
    """Share of validation items that are predicted."""
    answered: int
    wrong: int
    n: int


def risk_coverage(confidence: Array, correct: Array, *, points: int = 60) -> list[CoveragePoint]:
    """The error among the predictions against the share that is predicted, the surest first.

    Items of equal confidence count together. The intervals are Wilson's at 95 %.

    Args:
        confidence: Probability of the prediction (N,).
        correct: Whether the prediction was right (N,).
        points: Largest number of points, evenly spread over the coverage; the last one covers all.

    Raises:
        DataError: no items, or arrays that do not fit together.

    Source: El-Yaniv and Wiener, "On the foundations of noise-free selective classification",
    JMLR 11, 2010.

    Example:
        >>> sure = np.array([0.9, 0.8, 0.6, 0.5])
        >>> curve = risk_coverage(sure, np.array([True, True, False, True]))
        >>> [(point.coverage, round(point.error, 2)) for point in curve]
        [(0.25, 0.0), (0.5, 0.0), (0.75, 0.33), (1.0, 0.25)]
    """
    sure, last, wrong = _steps(confidence, correct)
    n = len(confidence)
    wanted = np.unique(np.ceil(np.linspace(n / points, n, min(points, n))).astype(np.int64))
    steps = np.unique(np.searchsorted(last + 1, wanted))
    curve = []
    for threshold, answered, missed in zip(sure[steps], last[steps] + 1, wrong[steps], strict=True):
        share = wilson(int(missed), int(answered))
        counts = float(threshold), share.n, share.count, share.n / n
        curve.append(CoveragePoint(*counts, share.value, share.low, share.high))
    return curve


def abstention(
    confidence: Array, correct: Array, error: float, *, certainty: float = 0.95
) -> Abstention:
    """The lowest threshold whose predictions are proved to err in at most `error` of cases.

    Of 32 thresholds, which cover 1/32, 2/32, ... of the items, the last one whose upper limit
    stays at or below `error`: Clopper and Pearson's one-sided one at a 32nd of the doubt,
    so that the promise holds although the threshold was chosen on the same items. It is made for
    new images from the same source, and for their average.

    Args:
        confidence: Probability of the prediction (N,), on items that no weight was fitted to.
        correct: Whether the prediction was right (N,).
        error: Largest share of wrong ones among the predictions, between 0 and 1.
        certainty: probability with which the promise holds, between 0 and 1.

    Raises:
        DataError: no items, or an error that these items cannot prove; the message says which
            one they can.

    Source: Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017,
    lemma 3.1 and theorem 3.2, with a fixed row of thresholds in place of their bisection: with
    few items the bisection leaves the region where anything can be proved.

    Example:
        >>> sure = np.linspace(0.5, 1.0, 1000)
        >>> kept = abstention(sure, sure > 0.7, 0.05)
        >>> kept.bound <= 0.05, 0.68 < kept.threshold < 0.72
        (True, True)
    """
    if not (0 < error < 1 and 0 < certainty < 1):
        raise DataError(
            f"error={error} and certainty={certainty} must lie between 0 and 1: 0.05 is one wrong "
            "prediction of 20."
        )
    sure, answered, wrong, bound = _bounds(confidence, correct, certainty)
    n = len(confidence)
    kept = np.flatnonzero(bound <= error)
    if not len(kept):
        least = math.ceil(1000 * float(bound.min())) / 10
        raise DataError(
            f"An error of {100 * error:g} % cannot be promised from {n:,} validation images. The "
            f"smallest that they prove is {least:.1f} %; ask for that, or train with more "
            "validation images."
        )
    step = int(kept[-1])
    limits = float(sure[step]), error, certainty, float(bound[step])
    return Abstention(*limits, float(answered[step] / n), int(answered[step]), int(wrong[step]), n)


def promises(confidence: Array, correct: Array, *, certainty: float = 0.95) -> float:
    """The smallest error that `abstention` can promise from these items.

    Args:
        confidence: Probability of the prediction (N,).
        correct: Whether the prediction was right (N,).
        certainty: probability with which a promise holds.

    Raises:
        DataError: no items.

    Example:
        >>> round(promises(np.linspace(0.5, 1, 400), np.ones(400, dtype=bool)), 4)
        0.016
    """
    return float(_bounds(confidence, correct, certainty)[3].min())


def _bounds(
    confidence: Array, correct: Array, certainty: float
) -> tuple[Floats, Counts, Counts, Floats]:
    """Thresholds, falling; items predicted and wrong at each; upper limits of the error."""
    sure, last, wrong = _steps(confidence, correct)
    wanted = np.ceil(np.arange(1, THRESHOLDS + 1) * len(confidence) / THRESHOLDS)
    steps = np.unique(np.searchsorted(last + 1, wanted))
    doubt = (1 - certainty) / THRESHOLDS
    bound = [
        clopper_pearson(int(wrong[step]), int(last[step]) + 1, confidence=1 - 2 * doubt).high
        for step in steps
    ]
    return sure[steps], last[steps] + 1, wrong[steps], np.array(bound)


def _steps(confidence: Array, correct: Array) -> tuple[Floats, Counts, Counts]:
    """Distinct confidences, falling; the index of the last item of each; wrong ones up to it."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.ndim != 1 or right.shape != sure.shape or not len(sure):
        raise DataError(
            f"Confidences {sure.shape} and correctness {right.shape}: give one of each for an item."
        )
    order = np.argsort(-sure, kind="stable")
    falling = sure[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    return falling[last], last, np.cumsum(~right[order])[last].astype(np.int64)
