"""The sources of an error's spread: randomness in training, and the choice of images.

Several trainings of one configuration predict the same images. Wrong or right is then a table of
K trainings by N images, and the variance of its mean has three parts: trainings, images, and what
is peculiar to a training on an image. Cross-validation has another table, whose columns are
correlated because the training sets overlap; its interval is widened for that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError
from striate.evaluation.interval import Estimate
from striate.typed_json import JsonRecord


@dataclass(frozen=True)
class SeedSpread(JsonRecord):
    """The error of K trainings that differ in their seed, on the same n images."""

    errors: tuple[float, ...]
    """Error of each training."""
    n: int
    mean: float
    deviation: Estimate
    """Standard deviation between the trainings, as seen on these images."""
    own_deviation: float
    """The part of it that would remain on infinitely many images."""
    seeds: Estimate
    """The mean, with its interval over further trainings on these images."""
    images: Estimate
    """The mean, with its interval over further images by these trainings."""
    both: Estimate
    """The mean, with its interval over further trainings on further images."""
    confidence: float = 0.95


def seed_spread(wrong: npt.NDArray[Any], *, confidence: float = 0.95) -> SeedSpread:
    """The mean error of K trainings with its spread taken apart into trainings and images.

    A random-effects analysis of variance of the K×N table, two ways, one observation a cell: with
    the mean squares M of trainings, images and rest, the variance of the mean is
    (M_trainings + M_images - M_rest) / (K N), its degrees of freedom Satterthwaite's. The
    deviation between trainings has the chi-squared interval, their mean Student's; intervals over
    images are Wilson's at the number of images that would give this variance, so that they stay
    between 0 and 1 and do not vanish where nothing is wrong.

    Args:
        wrong: (K, N) whether training k was wrong on image i.
        confidence: nominal coverage, between 0 and 1.

    Raises:
        DataError: fewer than two trainings or two images.

    Source: Searle, Casella and McCulloch, "Variance components", 1992, chapter 4; Satterthwaite,
    Biometrics Bulletin 2, 1946; Korn and Graubard, Survey Methodology 24, 1998.

    Example:
        >>> table = np.array([[0, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]])
        >>> spread = seed_spread(table)
        >>> round(spread.mean, 4), round(spread.deviation.value, 4)
        (0.2778, 0.0962)
    """
    from scipy.stats import chi2, norm, t

    table = np.asarray(wrong, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise DataError(
            f"The spread between trainings needs two of them on two images or more; {table.shape} "
            "came."
        )
    num, n = table.shape
    errors, items = table.mean(axis=1), table.mean(axis=0)
    mean = float(table.mean())
    is_share = bool(np.isin(table, (0, 1)).all())
    rest = table - errors[:, None] - items + mean
    squares = np.array(
        [n * errors.var(ddof=1), num * items.var(ddof=1), (rest**2).sum() / ((num - 1) * (n - 1))]
    )
    deviation = float(errors.std(ddof=1))
    tail = (1 - confidence) / 2
    high, low = (math.sqrt((num - 1) / chi2.ppf(q, num - 1)) for q in (tail, 1 - tail))
    reach = float(t.ppf(1 - tail, num - 1)) * deviation / math.sqrt(num)
    # Below the variance of perfectly independent predictions only at random.
    least = mean * (1 - mean) / (num * n) if is_share else 0.0
    variance = max(float(squares @ (1, 1, -1)) / (num * n), least)
    interval = _share if is_share else _mean
    most = 1.0 if is_share else math.inf
    weights = squares / (num * n)
    freedom = variance**2 / max(
        float((weights**2 / (num - 1, n - 1, (num - 1) * (n - 1))).sum()), 1e-300
    )
    freedom = min(max(freedom, num - 1.0), float(num * n)) if variance else float(n - 1)
    return SeedSpread(
        errors=tuple(errors.tolist()),
        n=n,
        mean=mean,
        deviation=_unless_equal(errors, deviation, deviation * low, deviation * high),
        own_deviation=math.sqrt(max(0.0, float(squares[0] - squares[2]) / n)),
        seeds=_unless_equal(errors, mean, max(0.0, mean - reach), min(most, mean + reach)),
        images=interval(mean, float(items.var(ddof=1)) / n, n, float(norm.ppf(1 - tail))),
        both=interval(mean, variance, n, float(t.ppf(1 - tail, freedom))),
        confidence=confidence,
    )


def _unless_equal(
    errors: npt.NDArray[np.float64], value: float, low: float, high: float
) -> Estimate:
    """Without ends where all trainings erred equally often: that says nothing of their spread."""
    return Estimate(value) if errors.min() == errors.max() else Estimate(value, low, high)


def _share(mean: float, variance: float, n: int, reach: float) -> Estimate:
    """Wilson's interval of a share, of as many items as would give it this variance."""
    items = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else float(n)
    squared = reach**2 / items
    centre = (mean + squared / 2) / (1 + squared)
    half = reach / (1 + squared) * math.sqrt(mean * (1 - mean) / items + squared / (4 * items))
    return Estimate(mean, max(0.0, centre - half), min(1.0, centre + half))


def _mean(mean: float, variance: float, n: int, reach: float) -> Estimate:
    """The interval of a mean with this variance."""
    half = reach * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half)


def corrected_resampled(
    errors: Sequence[float],
    num_train: float,
    num_test: float,
    *,
    confidence: float = 0.95,
    is_share: bool = True,
) -> Estimate:
    """The mean of J errors from overlapping training sets, with its corrected interval.

    mean ± t(J - 1) · sqrt((1/J + num_test/num_train) · s²). The naive interval, with 1/J alone,
    takes the errors for independent and is far too short.

    Args:
        errors: Errors of the J trainings, each on images that it did not see.
        num_train: Number of images in each training set, about.
        num_test: Number of images that each was measured on, about.
        confidence: Nominal coverage, between 0 and 1.
        is_share: Whether the errors are shares, which lie between 0 and 1.

    Raises:
        DataError: fewer than two errors, or sizes below 1.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52,
    2003, equation 15 and section 3 (the corrected resampled t).

    Example:
        >>> mean = corrected_resampled([0.10, 0.14, 0.09, 0.12, 0.15], 80, 20)
        >>> mean.value, round(mean.low, 4), round(mean.high, 4)
        (0.12, 0.0725, 0.1675)
    """
    from scipy.stats import t

    values = np.asarray(errors, dtype=np.float64)
    if len(values) < 2 or num_train < 1 or num_test < 1:
        raise DataError(
            f"The corrected interval needs two errors or more and sets that are not empty; "
            f"{len(values)} errors, {num_train:g} and {num_test:g} images came."
        )
    variance = (1 / len(values) + num_test / num_train) * values.var(ddof=1)
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1) * math.sqrt(variance))
    mean = float(values.mean())
    if not is_share:
        return Estimate(mean, mean - reach, mean + reach)
    return Estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach))
