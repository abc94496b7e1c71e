"""Probability that a label is wrong, from a classifier that did not see the image.

A label is thought to come about in one of two ways. With probability 1 − ν it was drawn as
the classifier predicts, by its probabilities p sharpened with some exponent T; else it was put
there blindly, as often as its class occurs (π):

    P(y | x) = (1 − ν)·q_y + ν·π_y,  q = p^T / Σ p^T

By Bayes' rule a label was put there blindly with probability ν·π_y / P(y | x), and a blind label is
wrong with probability 1 − q_y. T and ν are not known: both are averaged over, weighted with how
likely they make all labels. So a weak classifier, whose surprises are common, convicts few
labels, and one that is nearly always right convicts each that it contradicts; and among thirty
images, that hardly tell ν, doubt stays moderate.

Source: the two ways are those of Dawid and Skene 1979, "Maximum likelihood estimation of observer
error-rates using the EM algorithm", with a single blind observer; sharpening after Guo et al. 2017,
"On calibration of modern neural networks".
"""

import numpy as np
from jaxtyping import Float, Int

# Exponents T; that of calibration is 1, and lower than the best where labels are wrong.
_SHARPNESS = np.geomspace(0.5, 32.0, 19)
# Shares ν of blind labels, up to a half, closer together where they are few.
_SHARES = 0.5 * (np.arange(1, 41) / 40) ** 2
# The density of ν before labels are seen falls as (1 − ν)^18: one label in twenty in the mean.
# Published sets have 0.2 to 10 % wrong labels (Northcutt, Athalye and Mueller 2021, "Pervasive
# label errors in test sets destabilize machine learning benchmarks").
_FALL = 18.0
# So many labels determine T and ν as well as all do.
_SAMPLE = 20_000
_CHUNK = 8192
# Pairs of T and ν of smaller weight change no digit that is shown.
_WEIGHTLESS = 1e-6


def probability_wrong(
    probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]
) -> Float[np.ndarray, "N"]:
    """Estimate the probability that each label is wrong, (N,) float64 in 0..1.

    Args:
        probabilities: Predictions of classifiers that did not see the images.
        labels: Labels of the images.

    Example:
        >>> labels = np.array([0, 1, 1] * 40)
        >>> p = np.where(np.eye(2)[labels] > 0, 0.98, 0.02)
        >>> labels[3] = 1
        >>> doubt = probability_wrong(p, labels)
        >>> int(doubt.argmax()), bool(doubt[3] > 0.5), bool(np.delete(doubt, 3).max() < 0.05)
        (3, True, True)
    """
    prior = (np.bincount(labels, minlength=probabilities.shape[1]) / len(labels))[labels]
    some = np.random.default_rng(0).permutation(len(labels))[:_SAMPLE]
    weights = _weights(probabilities[some], labels[some], prior[some])
    doubt = np.zeros(len(labels))
    for sharpness, row in zip(_SHARPNESS, weights, strict=True):
        used = np.flatnonzero(row > _WEIGHTLESS)
        if len(used):
            own = _own(probabilities, labels, sharpness)
            for weight, share in zip(row[used], _SHARES[used], strict=True):
                blind = share * prior / ((1 - share) * own + share * prior)
                doubt += weight * blind * (1 - own)
    return doubt


def _weights(
    probabilities: np.ndarray, labels: np.ndarray, prior: np.ndarray
) -> Float[np.ndarray, "T V"]:
    """Posterior weight of each pair of T and ν after the labels are seen; all sum to 1."""
    logs = np.empty((len(_SHARPNESS), len(_SHARES)))
    for row, sharpness in zip(logs, _SHARPNESS, strict=True):
        own = _own(probabilities, labels, sharpness)
        row[:] = [np.log((1 - v) * own + v * prior).sum() for v in _SHARES]
    # Each share stands for the stretch up to its neighbours.
    logs += _FALL * np.log1p(-_SHARES) + np.log(np.gradient(_SHARES))
    weights: np.ndarray = np.exp(logs - logs.max())
    weights /= weights.sum()
    return weights


def _own(probabilities: np.ndarray, labels: np.ndarray, sharpness: float) -> np.ndarray:
    """The sharpened probability of each label."""
    from scipy.special import logsumexp

    own = np.empty(len(labels))
    for start in range(0, len(labels), _CHUNK):
        part = slice(start, start + _CHUNK)
        logs = sharpness * np.log(np.maximum(probabilities[part].astype(np.float64), 1e-30))
        mine = logs[np.arange(len(logs)), labels[part]]
        own[part] = np.exp(mine - logsumexp(logs, axis=1))
    return own
