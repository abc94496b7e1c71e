"""Temperature and vector scaling: probabilities made honest on data that was held out.

A network whose confidence is wrong in one direction is corrected by one number T: its scores are
divided by T before the softmax. The predictions stay as they are. Scores need not be kept for it:
log-probabilities are scores up to a constant that the softmax takes away again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError
from striate.evaluation.classification.probability import checked
from striate.typed_json import JsonRecord

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_COLDEST, _HOTTEST = 0.02, 50.0
"""T ends here: 1/50 turns odds of 1.2 into 9,000, and 50 leaves nothing of any confidence met."""

_CLOSE = 1e-12
"""Between logarithms of temperatures that are taken for one."""


@dataclass(frozen=True)
class Scaling(JsonRecord):
    """Probabilities to calibrated probabilities: softmax(weight * log p + bias).

    One weight and no bias is a temperature, T = 1 / weight; one of each for every class is
    vector scaling. `Scaling((1.0,))` changes nothing.
    """

    weight: tuple[float, ...] = (1.0,)
    bias: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not len(self.weight) == len(self.bias) > 0:
            raise DataError(
                f"A calibration has as many weights as biases; {len(self.weight)} and "
                f"{len(self.bias)} came."
            )

    @property
    def temperature(self) -> float | None:
        """T, or None for vector scaling."""
        return 1 / self.weight[0] if len(self.weight) == 1 else None

    def __call__(self, probabilities: Array) -> Floats:
        """(N, K) calibrated probabilities.

        Args:
            probabilities: (N, K), rows that sum to 1.

        Example:
            >>> sharper = Scaling((2.0,))
            >>> sharper(np.array([[0.75, 0.25]])).round(3).tolist()
            [[0.9, 0.1]]
        """
        if self == Scaling():
            return np.asarray(probabilities, dtype=np.float64)
        fitted, num_classes = len(self.weight), np.shape(probabilities)[-1]
        if fitted not in (1, num_classes):
            raise DataError(
                f"The calibration was fitted to {fitted} classes, and there are {num_classes}. "
                "Fit it anew: striate calibrate RUN"
            )
        return _softmax(_logs(probabilities) * np.array(self.weight) + np.array(self.bias))

    def to_json(self) -> dict[str, Any]:
        """The scaling as JSON values."""
        return {"temperature": self.temperature, **super().to_json()}


def fit_temperature(probabilities: Array, target: Array) -> Scaling:
    """The temperature under which the items are likeliest.

    As if one item more had come, whose truth is any class equally: without it, predictions that
    are all right would demand certainty. The mean negative log-likelihood is convex in 1 / T, so
    that there is one minimum: where its slope changes sign. Newton's method finds it, and halves
    what is left where it would leave it.

    Args:
        probabilities: (N, K), rows that sum to 1, of items that no weight was fitted to.
        target: (N,) index of the true class.

    Raises:
        ShapeError, DataError: as for `measure`.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017,
    section 4.2; the item more: as in Platt, "Probabilistic outputs for support vector machines",
    1999, section 2.2.

    Example:
        >>> p = np.repeat([[0.9, 0.1]], 1000, axis=0)
        >>> scaling = fit_temperature(p, np.repeat([0, 1], [700, 300]))
        >>> round(scaling.temperature, 2), scaling(p)[0].round(3).tolist()
        (2.6, [0.7, 0.3])
    """
    probabilities, target = checked(probabilities, target)
    logs = _logs(probabilities)
    # Shifted so that the wanted mean score is 0: the slope is then one mean.
    logs -= (logs * _soft_truth(target, logs.shape[1])).sum(axis=1, keepdims=True)

    def slope(weight: float) -> tuple[float, float]:
        """First and second derivative of the mean loss by the weight."""
        share = _softmax(weight * logs)
        mean = np.einsum("nk,nk->n", share, logs)
        square = np.einsum("nk,nk,nk->n", share, logs, logs)
        return float(mean.mean()), float((square - mean**2).mean())

    # Over the logarithm of the weight, as temperatures are compared as ratios.
    low, high, at = math.log(1 / _HOTTEST), math.log(1 / _COLDEST), 0.0
    while high - low > _CLOSE:
        weight = math.exp(at)
        value, bend = slope(weight)
        low, high = (at, high) if value < 0 else (low, at)
        wanted = at - value / (weight * bend) if bend > 0 else math.inf
        after = wanted if low < wanted < high else (low + high) / 2
        if abs(after - at) <= _CLOSE:
            break
        at = after
    return Scaling((math.exp(at),))


def fit_vector(probabilities: Array, target: Array, *, penalty: float = 0.01) -> Scaling:
    """A weight and a bias for each class, under which the items are likeliest, near a temperature.

    For classes whose confidence is wrong in different directions. It may change predictions. The
    penalty holds the weights near the best single temperature and the biases near 0, so that
    classes with few items stay there; the problem is convex.

    Args:
        probabilities: (N, K), rows that sum to 1, of items that no weight was fitted to.
        target: (N,) index of the true class.
        penalty: weight of the squares of what departs from the temperature, against the mean
            negative
            log-likelihood.

    Raises:
        ShapeError, DataError: as for `measure`, or a penalty of 0 or less.

    Source: Guo et al. 2017, section 4.2 ("vector scaling"); a penalty for it: Kull et al.,
    "Beyond temperature scaling", 2019, section 3.

    Example:
        >>> p = np.repeat([[0.6, 0.4], [0.4, 0.6]], 10, axis=0)
        >>> target = np.array([0] * 9 + [1] * 7 + [0] * 4)
        >>> fit_vector(p, target).bias[0] > 0
        True
    """
    from scipy.optimize import minimize

    probabilities, target = checked(probabilities, target)
    if not penalty > 0:
        raise DataError(f"penalty={penalty} must be above zero.")
    start = fit_temperature(probabilities, target).weight[0]
    logs = _logs(probabilities)
    n, num_classes = logs.shape
    truth = _soft_truth(target, num_classes)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weight, bias = flat[:num_classes], flat[num_classes:]
        scores = logs * weight + bias
        scores -= scores.max(axis=1, keepdims=True)
        share = np.exp(scores)
        total = share.sum(axis=1, keepdims=True)
        share /= total
        nll = float((np.log(total[:, 0]) - (scores * truth).sum(axis=1)).mean())
        error = (share - truth) / n
        gradient = np.concatenate([(error * logs).sum(axis=0), error.sum(axis=0)])
        away = np.concatenate([weight - start, bias])
        return nll + penalty * float(away @ away), gradient + 2 * penalty * away

    first = np.concatenate([np.full(num_classes, start), np.zeros(num_classes)])
    best = minimize(loss, first, jac=True, method="L-BFGS-B").x.tolist()
    return Scaling(tuple(best[:num_classes]), tuple(best[num_classes:]))


def crossfitted(
    fit: Callable[[Array, Array], Scaling], probabilities: Array, target: Array, *, folds: int = 5
) -> Floats:
    """(N, K) calibrated probabilities, each by a scaling that was fitted without its own fold.

    What is measured on them is not flattered by the fit, as it is on the items of the fit.

    Args:
        fit: `fit_temperature` or `fit_vector`.
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class.
        folds: item i lies in fold i mod `folds` of its class.

    Raises:
        ShapeError, DataError: as for `measure`, or fewer than two folds.

    Example:
        >>> p = np.repeat([[0.9, 0.1]], 10, axis=0)
        >>> bool(crossfitted(fit_temperature, p, np.array([0, 1] * 5)).max() < 0.9)
        True
    """
    probabilities, target = checked(probabilities, target)
    if folds < 2:
        raise DataError(f"folds={folds} must be 2 or more.")
    order = np.argsort(target, kind="stable")
    fold = np.empty(len(target), dtype=np.int64)
    fold[order] = np.arange(len(target)) % folds
    calibrated = probabilities.copy()
    for number in range(folds):
        mine = fold == number
        if mine.any() and not mine.all():
            calibrated[mine] = fit(probabilities[~mine], target[~mine])(probabilities[mine])
    return calibrated


def _soft_truth(target: Array, num_classes: int) -> Floats:
    """(N, K) what each item's probabilities should be, one item of any class shared among all."""
    n = len(target)
    truth = np.full((n, num_classes), 1 / (num_classes * (n + 1)))
    truth[np.arange(n), target] += n / (n + 1)
    return truth


def _softmax(scores: Floats) -> Floats:
    """Softmax of the rows (N, K), which are overwritten."""
    scores -= scores.max(axis=1, keepdims=True)
    share: Floats = np.exp(scores, out=scores)
    share /= share.sum(axis=1, keepdims=True)
    return share


def _logs(probabilities: Array) -> Floats:
    # A zero is a softmax that underflowed; the smallest normal float32 stands for it.
    smallest = np.finfo(np.float32).tiny
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), smallest))
