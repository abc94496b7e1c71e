"""Out-of-fold predictions of a linear classifier: none has seen the image that it predicts.

Ridge regression onto the classes. The sums XᵀX and XᵀY of the other folds are those of all less
those of one fold, so that one pass over the features serves all folds and strengths; fitting each
anew, as general cross-validation does, costs some sixteen passes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

_CHUNK = 2048
# Strengths of the ridge, as shares of the mean of the features' squares.
_RIDGES = (0.01, 0.03, 0.1, 0.3)


class OutOfFold(NamedTuple):
    """Predictions of classifiers that did not see the images."""

    probabilities: np.ndarray
    """(N, K) float32."""
    error: float
    """Share of images whose label is not predicted."""


def out_of_fold(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, "N"],
    folds: Int[np.ndarray, "N"],
    num_classes: int,
) -> OutOfFold:
    """Predict each image's class by a linear classifier that was trained on the other folds.

    Args:
        features: Values of any floating type, perhaps on the disk.
        labels: Class indices.
        folds: Fold of each image; copies of one picture share a fold, lest it be remembered.
        num_classes: Number of classes, K.
    """
    num_folds, width = int(folds.max()) + 1, features.shape[1] + 1
    targets = F.one_hot(torch.from_numpy(labels), num_classes).float()
    gram = torch.zeros(num_folds, width, width)
    cross = torch.zeros(num_folds, width, num_classes)
    for fold, rows, x in _by_fold(features, folds):
        gram[fold] += x.T @ x
        cross[fold] += x.T @ targets[rows]
    candidates = []
    for ridge in _RIDGES:
        weights = [_solve(gram, cross, fold, ridge) for fold in range(num_folds)]
        scores = torch.zeros(len(labels), num_classes)
        for fold, rows, x in _by_fold(features, folds):
            scores[rows] = x @ weights[fold]
        candidates.append((float((scores.argmax(1).numpy() != labels).mean()), scores))
    error, scores = min(candidates, key=lambda candidate: candidate[0])
    return OutOfFold(_calibrated(scores, torch.from_numpy(labels)), error)


def _by_fold(features: np.ndarray, folds: np.ndarray) -> Iterator[tuple[int, np.ndarray, Tensor]]:
    """Each fold's rows and centred features with a column of ones, some at a time."""
    starts = range(0, len(folds), _CHUNK)
    sums = [np.asarray(features[s : s + _CHUNK], np.float32).sum(0, np.float64) for s in starts]
    mean = (np.sum(sums, 0) / len(folds)).astype(np.float32)
    for start in starts:
        centred = np.asarray(features[start : start + _CHUNK], np.float32) - mean
        x = torch.from_numpy(np.pad(centred, ((0, 0), (0, 1)), constant_values=1.0))
        for fold in np.unique(folds[start : start + _CHUNK]).tolist():
            rows = np.flatnonzero(folds[start : start + _CHUNK] == fold)
            yield fold, start + rows, x[rows]


def _solve(gram: Tensor, cross: Tensor, fold: int, ridge: float) -> Tensor:
    """Weights (D + 1, K) from the sums of the other folds."""
    matrix = gram.sum(0) - gram[fold]
    strength = ridge * float(matrix.diagonal().mean()) + 1e-3
    eye = torch.eye(len(matrix))
    factor, info = torch.linalg.cholesky_ex(matrix + strength * eye)
    if int(info) > 0:
        factor = torch.linalg.cholesky(matrix + 100 * strength * eye)
    return torch.cholesky_solve(cross.sum(0) - cross[fold], factor)


def _calibrated(scores: Tensor, labels: Tensor) -> np.ndarray:
    """Softmax of the scores, sharpened so that the labels are likeliest."""
    steps = torch.logspace(-0.5, 2.0, 26)
    losses = torch.stack([F.cross_entropy(step * scores, labels) for step in steps])
    return torch.softmax(steps[losses.argmin()] * scores, 1).numpy()
