"""The table of losses."""

from jaxtyping import Float
from torch import Tensor

from striate.losses import (
    adversarial,
    balance,
    binary,
    box,
    cross_entropy,
    dice,
    hinge,
    logistic,
    restoration,
    sequence,
    siamese,
)
from striate.registry import Registry

__all__ = ["LOSSES"]

_FAMILIES = (
    *(cross_entropy, hinge, logistic, balance, binary, restoration, siamese),
    *(sequence, dice, box, adversarial),
)

LOSSES: Registry[Float[Tensor, "..."]] = Registry(
    "loss",
    {
        name.removesuffix("_loss"): function
        for family in _FAMILIES
        for name, function in vars(family).items()
        if name.endswith("_loss") and function.__module__ == family.__name__
    },
)
"""Each function `NAME_loss` of the families of losses by its NAME."""
