"""Losses: arithmetic as functions, one file per family.

`LOSSES` holds the losses of classification, which take `(scores, target)` and can be chosen by
name.
"""

from jaxtyping import Float
from torch import Tensor

from striate.losses.cross_entropy import softmax_cross_entropy_loss
from striate.losses.reduction import IGNORE_INDEX, Reduction, num_valid_targets, reduce_loss
from striate.registry import Registry

__all__ = [
    "IGNORE_INDEX",
    "LOSSES",
    "Reduction",
    "num_valid_targets",
    "reduce_loss",
    "softmax_cross_entropy_loss",
]

LOSSES: Registry[Float[Tensor, "..."]] = Registry(
    "loss",
    {"softmax_cross_entropy": softmax_cross_entropy_loss},
)
