"""Out-of-fold answers of a linear classifier: each image is answered by one that never saw it.

Ridge regression onto the classes, whose folds share their sums: the matrix of the other folds is
that of all less that of one. One pass over the features therefore serves all folds.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["OutOfFold", "out_of_fold"]

_CHUNK = 2048
# Strengths of the ridge, as shares of the mean of the features' squares.
_RIDGES = (0.01, 0.03, 0.1, 0.3)


class OutOfFold(NamedTuple):
    """Answers of classifiers that did not see the images."""

    probabilities: np.ndarray
    """(N, K) float32."""
    error: float
    """Share of images whose given label is not the answer."""


def out_of_fold(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, "N"],
    folds: Int[np.ndarray, "N"],
    num_classes: int,
) -> OutOfFold:
    """Predict each image by a linear classifier trained on the other folds alone.

    Args:
        features: in any floating type, perhaps on the disk.
        labels: class indices.
        folds: of each image; copies of one picture in one fold, lest it be answered from memory.
        num_classes: K.
    """
    num_folds = int(folds.max()) + 1
    mean = _mean(features)
    width = features.shape[1] + 1
    gram = torch.zeros(num_folds, width, width)
    cross = torch.zeros(num_folds, width, num_classes)
    for start in range(0, len(labels), _CHUNK):
        x = _centred(features[start : start + _CHUNK], mean)
        y = _targets(labels[start : start + _CHUNK], num_classes)
        of = torch.from_numpy(folds[start : start + _CHUNK])
        for fold in range(num_folds):
            mine = of == fold
            gram[fold] += x[mine].T @ x[mine]
            cross[fold] += x[mine].T @ y[mine]
    best: tuple[float, np.ndarray] | None = None
    for ridge in _RIDGES:
        weights = _solve(gram, cross, ridge)
        scores = _answer(features, folds, mean, weights)
        wrong = float((scores.argmax(1) != labels).mean())
        if best is None or wrong < best[0]:
            best = (wrong, scores)
    error, scores = best or (1.0, np.zeros((len(labels), num_classes), np.float32))
    return OutOfFold(_calibrated(scores, labels), error)


def _mean(features: np.ndarray) -> np.ndarray:
    sums = np.zeros(features.shape[1], np.float64)
    for start in range(0, len(features), _CHUNK):
        sums += np.asarray(features[start : start + _CHUNK], np.float32).sum(0)
    return (sums / len(features)).astype(np.float32)


def _centred(x: np.ndarray, mean: np.ndarray) -> Tensor:
    centred = torch.from_numpy(np.asarray(x, np.float32) - mean)
    return torch.cat([centred, torch.ones(len(centred), 1)], 1)


def _targets(labels: np.ndarray, num_classes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels), num_classes).float()


def _solve(gram: Tensor, cross: Tensor, ridge: float) -> list[Tensor]:
    """Weights (D + 1, K) for each fold, from the sums of the others."""
    all_gram, all_cross = gram.sum(0), cross.sum(0)
    weights = []
    for fold in range(len(gram)):
        matrix = all_gram - gram[fold]
        strength = ridge * float(matrix.diagonal().mean()) + 1e-3
        eye = torch.eye(len(matrix))
        factor, info = torch.linalg.cholesky_ex(matrix + strength * eye)
        if int(info) > 0:
            factor = torch.linalg.cholesky(matrix + 100 * strength * eye)
        weights.append(torch.cholesky_solve(all_cross - cross[fold], factor))
    return weights


def _answer(
    features: np.ndarray,
    folds: np.ndarray,
    mean: np.ndarray,
    weights: list[Tensor],
) -> np.ndarray:
    scores = np.zeros((len(folds), weights[0].shape[1]), np.float32)
    for start in range(0, len(folds), _CHUNK):
        x = _centred(features[start : start + _CHUNK], mean)
        of = folds[start : start + _CHUNK]
        for fold, weight in enumerate(weights):
            mine = of == fold
            scores[start : start + _CHUNK][mine] = (x[torch.from_numpy(mine)] @ weight).numpy()
    return scores


def _calibrated(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Softmax of the scores, sharpened so that the given labels are likeliest."""
    s = torch.from_numpy(scores)
    y = torch.from_numpy(labels)
    steps = torch.logspace(-0.5, 2.0, 26)
    losses = torch.stack([torch.nn.functional.cross_entropy(step * s, y) for step in steps])
    probabilities: np.ndarray = torch.softmax(steps[losses.argmin()] * s, 1).numpy()
    return probabilities
