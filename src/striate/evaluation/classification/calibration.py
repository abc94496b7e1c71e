"""Calibration: whether predictions with 80 % confidence are right 80 % of the time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.evaluation.classification.loss import FEW_MISTAKES
from striate.evaluation.interval import Estimate, normal_quantile
from striate.evaluation.mean import skewed_ends
from striate.typed_json import JsonRecord

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ReliabilityBin(JsonRecord):
    """Items whose confidence lies in (low, high]; the means are None where there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability(confidence: Array, correct: Array, *, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over [0, 1] with their count, mean confidence and accuracy.

    Args:
        confidence: Probability of the prediction (N,), in [0, 1].
        correct: Whether the prediction was right (N,).
        bins: Number of bins; 15 is the number of the source and of most papers since.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017,
    equations 2 and 3: bins are open on the left and closed on the right.

    Example:
        >>> reliability(np.array([0.9, 0.7]), np.array([True, False]), bins=2)[1].accuracy
        0.5
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    total = np.bincount(index, weights=confidence, minlength=bins)
    right = np.bincount(index, weights=correct.astype(np.float64), minlength=bins)
    return tuple(
        ReliabilityBin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            count=int(count[b]),
            confidence=float(total[b] / count[b]) if count[b] else None,
            accuracy=float(right[b] / count[b]) if count[b] else None,
        )
        for b in range(bins)
    )


def calibration_by_chance(bins: tuple[ReliabilityBin, ...]) -> float:
    """The calibration error that a perfectly calibrated network would show on as many items.

    The mean over test sets of the binned error when each prediction is right with the probability
    that its bin says.

    Args:
        bins: bins from `reliability`.

    Source: Roelofs, Cain, Shlens and Mozer, "Mitigating bias in calibration error estimation",
    2022, section 2.

    Example:
        >>> p = np.full(1000, 0.8)
        >>> round(calibration_by_chance(reliability(p, np.arange(1000) % 5 > 0)), 4)
        0.0101
    """
    count, confidence, _ = _columns(bins)
    spread = np.sqrt(count * confidence * (1 - confidence))
    return float(np.sqrt(2 / np.pi) * spread.sum() / count.sum())


def calibration_interval(bins: tuple[ReliabilityBin, ...], *, confidence: float = 0.95) -> Estimate:
    """The expected calibration error with an interval of the one that endless items would show.

    It is the mean distance between confidence and accuracy over bins, weighted by their counts.
    The measured value is too large at random, the more so the fewer the items and the better
    the calibration. So the interval stands about the value without that part, and need not hold
    the value itself. Its lower end takes each bin half a standard error nearer to calibration,
    where randomness adds more, and is 0 where calibration cannot be excluded.

    Args:
        bins: bins from `reliability`; the interval is for these bins.
        confidence: nominal coverage, between 0 and 1.

    Raises:
        DataError: a confidence outside (0, 1).

    Source: the error: Guo et al. 2017, equation 5; the random part: Roelofs et al. 2022,
    section 2 ("debiased"); the interval is our own, by the delta method, with Hall's correction
    for skewness (`mean_interval`); benchmarks/coverage.py counts its coverage.

    Example:
        >>> p = np.full(1000, 0.9)
        >>> error = calibration_interval(reliability(p, np.arange(1000) % 10 > 2))
        >>> round(error.value, 2), round(error.low, 3), round(error.high, 3)
        (0.2, 0.172, 0.229)
    """
    z = normal_quantile(confidence)
    count, sure, right = _columns(bins)
    n = count.sum()
    distance = count / n * np.abs(sure - right)
    # z² items more, right as often as they are sure: a bin without a mistake is uncertain still.
    share = (count * right + z * z * sure) / (count + z * z)
    variance = count / n * (share * (1 - share) + (1 - count / n) * (sure - share) ** 2)
    spread = np.sqrt(np.maximum(variance, 1e-12) / n)
    below, above = _reaches(count, sure, right, z)
    value = float(distance.sum())
    middle = value - _added_by_chance(distance, spread)
    nearer = np.maximum(distance - spread / 2, 0.0)
    low = value - _added_by_chance(nearer, spread) - below
    calibrated = np.maximum(spread, np.sqrt(count * sure * (1 - sure)) / n)
    by_chance = np.sqrt(2 / np.pi) * calibrated.sum()
    its_spread = np.sqrt((1 - 2 / np.pi) * (calibrated**2).sum())
    if low < 0 or value < by_chance + z * its_spread:
        low = 0.0
    return Estimate(value, low, min(max(middle, 0.0) + above, 1.0))


def _reaches(count: Array, sure: Array, right: Array, z: float) -> tuple[float, float]:
    """How far below and above its mean the interval of a signed calibration error reaches.

    Each item has the distance between its confidence and 1 or 0, as it was right or wrong, with
    the sign of its bin, and each bin has one item more that is right as often as it is sure.
    Mistakes of a network that is sure are few and far away: where one or none was seen, half an
    item more counts as wrong.
    """
    sign = np.where(sure < right, -1.0, 1.0)
    values = np.concatenate([sign * (sure - 1), sign * sure])
    share = (count * right + sure) / (count + 1)
    weight = np.concatenate([count * share, count * (1 - share)])
    mean = float(weight @ values / weight.sum())
    low, high = skewed_ends(values, weight, z)
    if float((count * (1 - right)).sum()) <= FEW_MISTAKES:
        far, weight = float(sure @ count / count.sum()), np.append(weight, 0.5)
        low = min(low, skewed_ends(np.append(values, -far), weight, z)[0])
        high = max(high, skewed_ends(np.append(values, far), weight, z)[1])
    return mean - low, high - mean


def _columns(bins: tuple[ReliabilityBin, ...]) -> tuple[Array, Array, Array]:
    """Counts, mean confidences and accuracies of the bins that hold items."""
    filled = [item for item in bins if item.count]
    return (
        np.array([item.count for item in filled], dtype=np.float64),
        np.array([item.confidence for item in filled], dtype=np.float64),
        np.array([item.accuracy for item in filled], dtype=np.float64),
    )


def _added_by_chance(distance: Array, spread: Array) -> float:
    """By how much noise of `spread` raises the mean of |distance|, summed over bins."""
    from scipy.special import ndtr

    ratio = distance / spread
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    folded += distance * (1 - 2 * ndtr(-ratio))
    return float((folded - distance).sum())
