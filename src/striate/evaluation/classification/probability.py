"""Predictions that can be measured: probabilities and truths that fit together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError, ShapeError

Array = npt.NDArray[Any]

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from 1; half precision stays within, scores do not."""


def truth_rank(probabilities: Array, target: Array) -> npt.NDArray[np.int64]:
    """Number of classes that come before the true one, per item: 0 is a right prediction.

    Args:
        probabilities: (N, K).
        target: (N,) index of the true class. Of equal classes the lower index comes first.

    Example:
        >>> truth_rank(np.array([[0.4, 0.4, 0.2]]), np.array([1]))
        array([1])
    """
    truth = np.take_along_axis(probabilities, target[:, None], axis=1)
    before = np.arange(probabilities.shape[1])[None, :] < target[:, None]
    ahead = (probabilities > truth) | ((probabilities == truth) & before)
    rank: npt.NDArray[np.int64] = ahead.sum(axis=1, dtype=np.int64)
    return rank


def checked(
    probabilities: Array, target: Array, class_names: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Both arrays in double precision and int64, once it is sure that they can be measured.

    Args:
        probabilities: (N, K), rows that sum to 1.
        target: (N,) index of the true class, 0..K-1.
        class_names: K names, where there are any.

    Raises:
        ShapeError: arrays that do not fit together.
        DataError: no items, values that are not finite or no probabilities, targets that are
            no class.

    Example:
        >>> checked(np.array([[0.25, 0.75]], dtype=np.float32), np.array([1]))[0].dtype
        dtype('float64')
    """
    probabilities, target = np.asarray(probabilities), np.asarray(target)
    if probabilities.ndim != 2 or target.shape != probabilities.shape[:1]:
        raise ShapeError(
            "Measuring takes probabilities of shape (N, K) and N targets; what came are shapes "
            f"{probabilities.shape} and {target.shape}."
        )
    n, num_classes = probabilities.shape
    if n == 0 or num_classes == 0:
        raise DataError(f"There is nothing to measure: {n} items of {num_classes} classes came.")
    if class_names is not None and len(class_names) != num_classes:
        raise ShapeError(f"{num_classes} classes need as many names; {len(class_names)} came.")
    if probabilities.dtype.kind != "f":
        raise DataError(f"Probabilities are floats; what came is {probabilities.dtype}.")
    probabilities = probabilities.astype(np.float64)
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{int((~finite).sum())} of {n} items have probabilities that are not finite, the "
            f"first at index {int(np.argmin(finite))}: the network has diverged on them."
        )
    fits = (np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE) & (probabilities >= 0).all(1)
    if not fits.all():
        first = int(np.argmin(fits))
        raise DataError(
            f"{int((~fits).sum())} of {n} rows are no probabilities (0 or more, sum 1), the first "
            f"at index {first} with sum {probabilities[first].sum():.4g}. Apply softmax to scores."
        )
    return probabilities, class_indices("Targets", target, num_classes)


def class_indices(name: str, indices: Array, num_classes: int) -> npt.NDArray[np.int64]:
    """Indices of classes as int64, once it is sure that they are such.

    Args:
        name: Word for them at the beginning of a message.
        indices: (N,) indices, 0..K-1.
        num_classes: K.

    Raises:
        DataError: indices that are no class.

    Example:
        >>> class_indices("Targets", np.array([1, 0], dtype=np.uint8), 2)
        array([1, 0])
    """
    if indices.dtype.kind not in "iu":
        raise DataError(f"{name} are class indices (whole numbers); what came is {indices.dtype}.")
    outside = (indices < 0) | (indices >= num_classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise DataError(
            f"{name} must be 0..{num_classes - 1}; {int(outside.sum())} of {len(indices)} are not, "
            f"the first is {int(indices[first])} at index {first}."
        )
    return indices.astype(np.int64)
