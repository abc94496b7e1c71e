"""Calibration: whether answers given with 80 % confidence are right 80 % of the time."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ReliabilityBin", "expected_calibration_error", "reliability"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ReliabilityBin:
    """Items whose confidence lies in (low, high]; the means are None where there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """The bin as JSON values."""
        return asdict(self)


def reliability(confidence: Array, correct: Array, *, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over [0, 1] with their count, mean confidence and accuracy.

    Args:
        confidence: (N,) probability of the answer, in [0, 1].
        correct: (N,) whether the answer was right.
        bins: how many; 15 is the number of the source and of most papers since.

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


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """The mean distance between confidence and accuracy over bins, weighted by their counts.

    It depends on the bins and is never negative, so that a perfectly calibrated network has a
    small positive one on few items. No interval is given for it for that reason.

    Args:
        bins: from `reliability`.

    Source: Guo et al. 2017, equation 5.

    Example:
        >>> bins = reliability(np.array([0.9, 0.7]), np.array([True, False]), bins=2)
        >>> round(expected_calibration_error(bins), 3)
        0.3
    """
    n = sum(item.count for item in bins)
    return sum(
        item.count / n * abs(item.accuracy - item.confidence)
        for item in bins
        if item.accuracy is not None and item.confidence is not None
    )
