"""Classifiers of rows: what is fitted is arrays, its hyper-parameter chosen on other rows."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.classical.feature import Arrays


@dataclass(frozen=True)
class Rows:
    """Rows with their classes."""

    features: np.ndarray
    """(N, F) float32."""
    labels: np.ndarray
    """(N,) int64."""


@dataclass(frozen=True)
class Fitted:
    """A classifier's arrays, its hyper-parameter in words, its mistakes on the other rows."""

    arrays: dict[str, np.ndarray]
    chosen: str
    wrong: int


class Classifier(ABC):
    """Rows to scores."""

    values: Sequence[float]
    """Values of the hyper-parameter among which `fit` chooses."""

    @abstractmethod
    def fit(self, train: Rows, validation: Rows, num_classes: int, seed: int) -> Fitted:
        """Fit on `train`; the hyper-parameter with the fewest wrong on `validation` is kept."""

    @abstractmethod
    def scores(self, features: np.ndarray, arrays: Arrays) -> np.ndarray:
        """(N, K) float64 scores, whose softmax is the probability before calibration."""


class _Linear(Classifier):
    """w · x + b on rows that are shifted and scaled.

    Args:
        values: Values of C among which to choose; one is taken as it is.
        standardise: Give each number mean 0 and deviation 1.
    """

    def __init__(self, values: Sequence[float], *, standardise: bool = True) -> None:
        self.values = tuple(values)
        self.standardise = standardise

    @abstractmethod
    def _model(self, c: float, num_classes: int, seed: int) -> Any:
        """The scikit-learn model."""

    def fit(self, train: Rows, validation: Rows, num_classes: int, seed: int) -> Fitted:
        mean = np.zeros(train.features.shape[1], np.float32)
        scale = np.ones_like(mean)
        if self.standardise:
            mean, scale = train.features.mean(axis=0), train.features.std(axis=0)
            scale = np.where(scale > 0, scale, np.float32(1))
        x = (train.features - mean) / scale
        candidates = []
        for c in self.values:
            weight, bias = self._weights(x, train.labels, c, num_classes, seed)
            arrays = {"mean": mean, "scale": scale, "weight": weight, "bias": bias}
            predicted = self.scores(validation.features, arrays).argmax(axis=1)
            wrong = int((predicted != validation.labels).sum())
            candidates.append(Fitted(arrays, f"C = {c:g}", wrong))
        return min(candidates, key=lambda fitted: fitted.wrong)

    def scores(self, features: np.ndarray, arrays: Arrays) -> np.ndarray:
        x = (features - arrays["mean"]) / arrays["scale"]
        return (x @ arrays["weight"].T + arrays["bias"]).astype(np.float64)

    def _weights(
        self, x: np.ndarray, labels: np.ndarray, c: float, num_classes: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(K, F) and (K,) for all classes, also those of which no image came."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            # The last digits of the optimum cost most of the time and change no prediction.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = self._model(c, num_classes, seed).fit(x, labels)
        weight, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
        if len(weight) == 1:  # two classes: one plane, which the first class turns away from
            weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
        whole = np.zeros((num_classes, x.shape[1]), np.float32)
        floor = np.full(num_classes, -1e3, np.float32)
        whole[model.classes_], floor[model.classes_] = weight, bias
        return whole, floor


class LinearSVM(_Linear):
    """One linear support vector machine for each class against the rest (squared hinge)."""

    def _model(self, c: float, num_classes: int, seed: int) -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(C=c, dual=True, tol=1e-2, max_iter=300, random_state=seed)


class Softmax(_Linear):
    """Logistic regression over all classes at once, with a squared penalty."""

    def _model(self, c: float, num_classes: int, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=c, max_iter=200, tol=1e-3)


class Neighbours(Classifier):
    """The votes of the k nearest training rows.

    Args:
        values: Values of k among which to choose.
    """

    values: Sequence[int]

    def __init__(self, values: Sequence[int]) -> None:
        self.values = tuple(values)

    def fit(self, train: Rows, validation: Rows, num_classes: int, seed: int) -> Fitted:
        values = [k for k in self.values if k <= len(train.labels)] or [len(train.labels)]
        whole = np.array_equal(train.features, train.features.astype(np.uint8))
        arrays = {
            "features": train.features.astype(np.uint8) if whole else train.features,
            "labels": train.labels,
            "num_classes": np.array(num_classes),
        }
        order = self.nearest(validation.features, arrays, max(values))
        wrong = [
            int((_log_shares(order[:, :k], arrays).argmax(1) != validation.labels).sum())
            for k in values
        ]
        best = int(np.argmin(wrong))
        arrays["k"] = np.array(values[best])
        return Fitted(arrays, f"k = {values[best]}", wrong[best])

    def scores(self, features: np.ndarray, arrays: Arrays) -> np.ndarray:
        return _log_shares(self.nearest(features, arrays, int(arrays["k"])), arrays)

    def nearest(self, features: np.ndarray, arrays: Arrays, num: int) -> np.ndarray:
        """(N, num) indices of the nearest training rows, the nearest first."""
        x = arrays["features"].astype(np.float32)
        lengths = np.square(x).sum(axis=1)
        nearest = []
        for start in range(0, len(features), 256):
            piece = features[start : start + 256]
            distance = lengths - 2 * (piece @ x.T)  # less a length that is the same for all
            near = np.argpartition(distance, num - 1, axis=1)[:, :num]
            order = np.argsort(np.take_along_axis(distance, near, 1), axis=1, kind="stable")
            nearest.append(np.take_along_axis(near, order, 1))
        return np.concatenate(nearest)


def _log_shares(order: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Logarithms of the classes' shares of the votes, one vote more shared by all classes.

    Of classes with as many votes the one with the nearer voter stands first, by a hair.
    """
    num, k = order.shape
    votes = np.full((num, int(arrays["num_classes"])), 1 / int(arrays["num_classes"]))
    labels = arrays["labels"][order]
    for rank in range(k):
        votes[np.arange(num), labels[:, rank]] += 1 + 1e-6 * (k - rank) / k
    shares: np.ndarray = np.log(votes / votes.sum(axis=1, keepdims=True))
    return shares
