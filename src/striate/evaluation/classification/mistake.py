"""Which items a network got wrong, the most telling ones first."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.streamed import Pixels
from striate.evaluation.classification.probability import checked
from striate.evaluation.stored import small_picture
from striate.typed_json import JsonRecord

_MOST_PICTURES = 1000

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Mistake(JsonRecord):
    """One wrongly predicted item."""

    index: int
    """Position in the arrays that were measured."""
    truth: int
    answer: int
    confidence: float
    """Probability of the prediction."""
    truth_probability: float
    """Probability of the true class."""


def mistakes(probabilities: Array, target: Array, *, limit: int = 24) -> list[Mistake]:
    """The worst mistakes: those where the true class got the lowest probability.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class.
        limit: largest number of mistakes. Equal ones come in the order of the items.

    Raises:
        ShapeError, DataError: as for `measure`.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
        >>> [item.index for item in mistakes(p, np.array([1, 1, 1]))]
        [0, 1]
    """
    return _selected(probabilities, target, limit, by_confidence=False)


def confident_mistakes(probabilities: Array, target: Array, *, limit: int = 24) -> list[Mistake]:
    """The mistakes that the network was surest of: the highest probability of a wrong prediction.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class.
        limit: largest number of mistakes. Equal ones come in the order of the items.

    Raises:
        ShapeError, DataError: as for `measure`.

    Example:
        >>> p = np.array([[0.5, 0.1, 0.4], [0.8, 0.2, 0.0], [0.3, 0.3, 0.4]])
        >>> [item.index for item in confident_mistakes(p, np.array([1, 1, 1]), limit=2)]
        [1, 0]
    """
    return _selected(probabilities, target, limit, by_confidence=True)


def _selected(
    probabilities: Array, target: Array, limit: int, *, by_confidence: bool
) -> list[Mistake]:
    probabilities, target = checked(probabilities, target)
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != target)
    confidence = probabilities[wrong, predicted[wrong]]
    truth = probabilities[wrong, target[wrong]]
    order = np.argsort(-confidence if by_confidence else truth, kind="stable")[:limit]
    columns = (wrong, target[wrong], predicted[wrong], confidence, truth)
    return [Mistake(*(column[i].item() for column in columns)) for i in order]


def wrong_pictures(images: Pixels, predicted: Array, target: Array) -> dict[int, Array]:
    """Small pictures of the wrongly predicted items, at most a thousand, evenly spread.

    Args:
        images: Images (N, H, W, C), uint8.
        predicted: Index of the predicted class (N,).
        target: Index of the true class (N,).
    """
    wrong = np.flatnonzero(predicted != target).tolist()
    step = max(1, -(-len(wrong) // _MOST_PICTURES))
    return {index: small_picture(np.asarray(images[index])) for index in wrong[::step]}
