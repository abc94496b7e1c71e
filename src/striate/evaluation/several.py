"""Metrics of items with any number of labels: average precision, AUC and F1, with intervals.

Each is computed for one label at a time over the items of which it is known, and averaged over the
labels ("macro"). A label without a known positive item is left out of all three, one without a
negative item of the AUC too; their number is reported.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from striate.evaluation.classification.macro import placements
from striate.evaluation.interval import Estimate, normal_quantile, score_interval
from striate.evaluation.metric import Columns, Metric

_TINY = 1e-12
"""Stands for a probability of zero, so that the mean loss stays finite."""
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Part(NamedTuple):
    """A metric of one label, and by how much each of its n items moves it."""

    value: float
    influence: Floats


Measure = Callable[[Floats, Bools, Bools], Part]
"""Function of the probabilities (n,), which items are positive and which are predicted so."""


def average_precision(probability: Floats, positive: Bools, predicted: Bools) -> Part:
    """Average precision: the mean, over the positive items, of the precision at their rank.

    Items of one probability share the last of their ranks, as in scikit-learn; nothing is
    interpolated.

    Source: influence: the derivative by the weight of an item (infinitesimal jackknife: Efron,
    "The jackknife, the bootstrap and other resampling plans", 1982, section 6.2).
    """
    order = np.argsort(-probability, kind="stable")
    hit = positive[order].astype(np.float64)
    falling = -probability[order]
    rank = np.searchsorted(falling, falling, side="right")
    precision = np.cumsum(hit)[rank - 1] / rank
    value = float((hit * precision).sum() / hit.sum())
    # An item moves the precision of the positive items at its rank and behind.
    first = np.searchsorted(falling, falling, side="left")
    moved, lost = (np.cumsum(x[::-1])[::-1][first] for x in (hit / rank, hit * precision / rank))
    influence = np.empty(len(hit))
    influence[order] = (hit * (precision - value + moved) - lost) / hit.sum()
    return Part(value, influence)


def area(probability: Floats, positive: Bools, predicted: Bools) -> Part:
    """AUC: the share of pairs of a positive and a negative item in the right order, ties half.

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves", Biometrics 44, 1988.
    """
    placed = placements(probability, positive)
    value = float(placed[positive].mean())
    return Part(value, (placed - value) / np.where(positive, positive.sum(), (~positive).sum()))


def f1(probability: Floats, positive: Bools, predicted: Bools) -> Part:
    """F1 = 2 TP / (2 TP + FP + FN) at the thresholds by which labels are predicted."""
    right = positive & predicted
    size = float(positive.sum() + predicted.sum())
    value = 2 * float(right.sum()) / size
    influence = np.where(right, 2 * (1 - value), -value * (positive ^ predicted)) / size
    return Part(value, influence)


MEASURES: dict[str, Measure] = {"average precision": average_precision, "AUC": area, "F1": f1}


def is_defined(name: str, labels: npt.NDArray[np.int8]) -> Bools:
    """(K,) whether a metric is defined for each label.

    Args:
        name: Name of the metric in `MEASURES`.
        labels: (N, K) 1 has the label, 0 has it not, -1 not known.
    """
    defined: Bools = (labels == 1).any(0)
    return defined & (labels == 0).any(0) if name == "AUC" else defined


def macro(name: str, rows: Columns, confidence: float = 0.95) -> Estimate:
    """The mean of a metric over the labels for which it is defined, with its interval.

    It is Wilson's interval at the effective number of items: as many as would give a share the
    variance of the mean, which is the sum of the squared influences of the items, after z²/2 right
    and z²/2 wrong positive items were added, so that an order without a mistake still counts as
    uncertain. In simulations with 60 to 500 items of 1 to 19 labels it covered 90 to 99.7 %.

    Args:
        name: Name of the metric in `MEASURES`.
        rows: "probabilities" (N, K), "labels" (N, K), and perhaps "present" (N, K): the labels that
            the thresholds of a run predict; else those of probabilities of a half and more.
        confidence: Nominal coverage, between 0 and 1.
    """
    p, labels = np.asarray(rows["probabilities"]), np.asarray(rows["labels"])
    predicted = np.asarray(rows.columns.get("present", p >= 0.5)).astype(np.bool_)
    defined = np.flatnonzero(is_defined(name, labels))
    if not len(defined):
        return Estimate(float("nan"))
    pull, values = np.zeros(len(labels)), []
    for k in defined:
        known = labels[:, k] >= 0
        part = MEASURES[name](p[known, k], labels[known, k] == 1, predicted[known, k])
        pull[known] += part.influence / len(defined)
        values.append(part.value)
    value, z2 = float(np.mean(values)), normal_quantile(confidence) ** 2
    positive = float((labels[:, defined] == 1).sum())
    share = (value * positive + z2 / 2) / (positive + z2)
    variance = float((pull**2).sum()) + z2 * (share**2 + (1 - share) ** 2) / 2 / positive**2
    return score_interval(value, share * (1 - share) / variance, z2)


def _metric(name: str) -> Metric:
    return Metric(
        f"macro {name}",
        False,
        lambda rows: macro(name, rows).value,
        interval=lambda rows, confidence: macro(name, rows, confidence),
    )


def losses_of_items(rows: Columns) -> Floats:
    """(N,) mean binary cross-entropy over the labels that are known of each item; nan for none."""
    p, labels = np.asarray(rows["probabilities"]), np.asarray(rows["labels"])
    known = labels >= 0
    losses = -np.log(np.maximum(np.where(labels == 1, p, 1 - p), _TINY))
    count = known.sum(1)
    sums: Floats = np.where(known, losses, 0).sum(1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


METRICS = (
    *map(_metric, MEASURES),
    Metric.mean("loss", True, losses_of_items, most=-math.log(_TINY)),
)
"""The metrics of items with any number of labels; the headline is macro average precision."""


def best_thresholds(probabilities: Floats, labels: npt.NDArray[np.int8]) -> Floats:
    """(K,) the threshold of each label with the best F1; a half for a label without positives.

    It lies midway between two probabilities; of equal F1 the highest threshold is taken.

    Args:
        probabilities: (N, K).
        labels: (N, K) 1 has the label, 0 has it not, -1 not known.
    """
    thresholds = np.full(labels.shape[1], 0.5)
    for k in np.flatnonzero((labels == 1).any(0)):
        known = labels[:, k] >= 0
        order = np.argsort(-probabilities[known, k], kind="stable")
        p, hit = probabilities[known, k][order], labels[known, k][order] == 1
        rank = np.arange(1, len(p) + 1)
        score = 2 * np.cumsum(hit) / (rank + hit.sum())
        following = np.append(p[1:], 0.0)
        score[p == following] = -1.0
        best = int(score.argmax())
        thresholds[k] = (p[best] + following[best]) / 2
    return thresholds
