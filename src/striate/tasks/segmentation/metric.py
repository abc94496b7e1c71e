"""Metrics of segmentation: functions of the number of pixels of each true and predicted class.

A row is the confusion matrix (K, K) of one image, void left out; the matrix of a split is the sum
of its rows. Classes that neither truth nor prediction has are left out of means, and counted.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from torch import Tensor

from striate.data.batch import Batch
from striate.evaluation.metric import Columns, KeepingMeter, Metric

CONFUSION = "confusion"
"""Column of the rows: pixels (N, K, K) of each true class (rows) and predicted class (columns)."""
PREDICTED = "predicted"
"""Column of the rows: predicted masks (N, h, w), small, for the pictures of a report."""
_SMALL = 160
"""Longer side of a small mask at most, pixels."""


class ConfusionMeter(KeepingMeter):
    """Rows: the confusion matrix of each image; the first metric is the mean IoU of the split.

    Args:
        names: Names of the K classes.
        void: Id of pixels that count for nothing.
    """

    def __init__(self, names: Sequence[str], void: int) -> None:
        each = [
            Metric.pooled(f"IoU {name}", False, partial(_overlaps_of, index), _mean_iou)
            for index, name in enumerate(names)
        ]
        metrics = (
            Metric.pooled("mean IoU", False, _overlaps, _mean_iou),
            Metric.mean("IoU per image", False, of_each_image, most=1.0),
            Metric.pooled("pixel accuracy", False, _overlaps, _accuracy),
            Metric.pooled("mean Dice", False, _overlaps, lambda c: float(_mean_known(dice(c)))),
            Metric.mean(
                "Dice per image", False, lambda rows: _mean_known(dice(_overlaps(rows))), most=1.0
            ),
            Metric.pooled("classes left out", True, _overlaps, _num_absent),
            *each,
        )

        super().__init__(metrics, partial(_rows, num_classes=len(names), void=void))


def _rows(
    prediction: Mapping[str, Tensor], batch: Batch, num_classes: int, void: int
) -> dict[str, np.ndarray]:
    truth, predicted = batch["mask"].cpu().numpy(), prediction["mask"].numpy()
    step = -(-max(truth.shape[1:]) // _SMALL)
    small = predicted[:, step // 2 :: step, step // 2 :: step].copy()
    return {CONFUSION: confusion(truth, predicted, num_classes, void), PREDICTED: small}


def confusion(
    truth: Integer[np.ndarray, "B H W"],
    predicted: Integer[np.ndarray, "B H W"],
    num_classes: int,
    void: int,
) -> Integer[np.ndarray, "B K K"]:
    """Pixels of each true class (rows) and predicted class (columns), of each image.

    Example:
        >>> confusion(np.array([[[0, 1, 9]]]), np.array([[[1, 1, 0]]]), 2, void=9).tolist()
        [[[0, 1], [0, 1]]]
    """
    num = num_classes * num_classes
    image = np.arange(len(truth)).reshape(-1, 1, 1) * num
    pair = image + truth.astype(np.int64) * num_classes + predicted
    counts = np.bincount(pair[truth != void], minlength=len(truth) * num)
    return counts.reshape(-1, num_classes, num_classes).astype(np.int32)


def iou(overlaps: Integer[np.ndarray, "*any 3 K"]) -> Float[np.ndarray, "*any K"]:
    """Intersection over union of each class; nan where neither truth nor prediction has it."""
    both, truth, predicted = np.moveaxis(overlaps, -2, 0)
    return _ratio(both, truth + predicted - both)


def dice(overlaps: Integer[np.ndarray, "*any 3 K"]) -> Float[np.ndarray, "*any K"]:
    """Dice coefficient of each class; nan where neither truth nor prediction has it."""
    both, truth, predicted = np.moveaxis(overlaps, -2, 0)
    return _ratio(2 * both, truth + predicted)


def of_each_image(rows: Columns) -> Float[np.ndarray, "N"]:
    """The mean IoU of each image over its own classes; nan where all of it is void."""
    values: np.ndarray = _mean_known(iou(_overlaps(rows)))
    return values


def class_figures(rows: Columns, names: Sequence[str]) -> list[dict[str, Any]]:
    """The figures of each class in the whole split; nan where it has none."""
    overlaps, matrix = _overlaps(rows), rows[CONFUSION].sum(axis=0, dtype=np.int64)
    both, truth, _ = whole = overlaps.sum(axis=0)
    wrong = matrix * ~np.eye(len(names), dtype=bool)
    columns = {
        "pixels": _ratio(truth, truth.sum()),
        "num_images": (overlaps[:, 1:].sum(axis=1) > 0).sum(axis=0),
        "iou": iou(whole),
        "dice": dice(whole),
        "recall": _ratio(both, truth),
    }
    return [
        {
            "class": name,
            **{key: values[k].item() for key, values in columns.items()},
            "taken_for": names[wrong[k].argmax()] if wrong[k].any() else None,
        }
        for k, name in enumerate(names)
    ]


def _overlaps(rows: Columns) -> Integer[np.ndarray, "N 3 K"]:
    """Pixels of each class in truth and prediction together, in truth, in prediction."""
    matrices = rows[CONFUSION]
    truth, predicted = (matrices.sum(axis=axis, dtype=np.int64) for axis in (2, 1))
    return np.stack([np.diagonal(matrices, axis1=1, axis2=2), truth, predicted], axis=1)


def _overlaps_of(index: int, rows: Columns) -> Integer[np.ndarray, "N 3 1"]:
    return _overlaps(rows)[:, :, index : index + 1]


def _ratio(part: Any, whole: Any) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean_known(values: np.ndarray) -> Any:
    """The mean over the classes (last axis) that have a value; nan where none has."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def _mean_iou(overlaps: np.ndarray) -> float:
    return float(_mean_known(iou(overlaps)))


def _accuracy(overlaps: np.ndarray) -> float:
    return float(_ratio(overlaps[0].sum(), overlaps[1].sum()))


def _num_absent(overlaps: np.ndarray) -> float:
    return float(np.isnan(iou(overlaps)).sum())
