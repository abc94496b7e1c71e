"""Losses: arithmetic as functions, one file per family.

`LOSSES` holds them by name. A task takes those whose arguments it has: `(scores, target)` for
classification.
"""

from jaxtyping import Float
from torch import Tensor

from striate.losses.adversarial import (
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
)
from striate.losses.balance import (
    binary_focal_loss,
    focal_loss,
    median_frequency_cross_entropy_loss,
    median_frequency_weights,
)
from striate.losses.box import box_iou, giou_loss, iou_loss, smooth_l1_loss
from striate.losses.chance import chance_warning, expected_loss_at_chance
from striate.losses.cross_entropy import softmax_cross_entropy_loss
from striate.losses.dice import dice_loss
from striate.losses.hinge import hinge_loss
from striate.losses.logistic import logistic_loss
from striate.losses.reduction import IGNORE_INDEX, Reduction, num_valid_targets, reduce_loss
from striate.losses.regularisation import (
    elastic_net_penalty,
    l1_penalty,
    l2_penalty,
    penalised_weights,
)
from striate.losses.restoration import charbonnier_loss, l1_loss, l2_loss
from striate.losses.sequence import ctc_loss
from striate.losses.siamese import contrastive_loss, triplet_loss
from striate.registry import Registry

__all__ = [
    "IGNORE_INDEX",
    "LOSSES",
    "Reduction",
    "binary_focal_loss",
    "box_iou",
    "chance_warning",
    "charbonnier_loss",
    "contrastive_loss",
    "ctc_loss",
    "dice_loss",
    "elastic_net_penalty",
    "expected_loss_at_chance",
    "focal_loss",
    "giou_loss",
    "hinge_loss",
    "iou_loss",
    "l1_loss",
    "l1_penalty",
    "l2_loss",
    "l2_penalty",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "logistic_loss",
    "median_frequency_cross_entropy_loss",
    "median_frequency_weights",
    "non_saturating_discriminator_loss",
    "non_saturating_generator_loss",
    "num_valid_targets",
    "penalised_weights",
    "reduce_loss",
    "smooth_l1_loss",
    "softmax_cross_entropy_loss",
    "triplet_loss",
]

LOSSES: Registry[Float[Tensor, "..."]] = Registry(
    "loss",
    {
        "softmax_cross_entropy": softmax_cross_entropy_loss,
        "hinge": hinge_loss,
        "logistic": logistic_loss,
        "focal": focal_loss,
        "median_frequency_cross_entropy": median_frequency_cross_entropy_loss,
        "binary_focal": binary_focal_loss,
        "charbonnier": charbonnier_loss,
        "contrastive": contrastive_loss,
        "ctc": ctc_loss,
        "dice": dice_loss,
        "giou": giou_loss,
        "iou": iou_loss,
        "l1": l1_loss,
        "l2": l2_loss,
        "least_squares_discriminator": least_squares_discriminator_loss,
        "least_squares_generator": least_squares_generator_loss,
        "non_saturating_discriminator": non_saturating_discriminator_loss,
        "non_saturating_generator": non_saturating_generator_loss,
        "smooth_l1": smooth_l1_loss,
        "triplet": triplet_loss,
    },
)
