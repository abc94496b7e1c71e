"""The table of losses."""

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
)
from striate.losses.box import giou_loss, iou_loss, smooth_l1_loss
from striate.losses.cross_entropy import softmax_cross_entropy_loss
from striate.losses.dice import dice_loss
from striate.losses.hinge import hinge_loss
from striate.losses.logistic import logistic_loss
from striate.losses.restoration import charbonnier_loss, l1_loss, l2_loss
from striate.losses.sequence import ctc_loss
from striate.losses.siamese import contrastive_loss, triplet_loss
from striate.registry import Registry

__all__ = ["LOSSES"]

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
