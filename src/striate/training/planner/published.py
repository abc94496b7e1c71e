"""A training that starts from published weights: the size of its images, and what learns.

The last layer is solved on features, which are computed once; more pixels make better features.
Where there is time for some epochs besides, all layers learn from there.
"""

from typing import NamedTuple

from striate.config import PretrainedConfig
from striate.networks import PRETRAINED
from striate.registry import Pick
from striate.settings import Settings, setting_at
from striate.tasks import Conditions
from striate.training.fitting import size_problem
from striate.training.planner.optimiser import batch_size, optimiser

SIDES = (96, 128, 160, 192, 224)
"""Sides of the images that are considered, pixels, up to the one of the published training."""
_ENLARGED = 2.0
"""Times the images' own side up to which more pixels still help."""
_MEASURED = 128
"""Side at which the speed is measured; the cost grows with the pixels."""
_FORWARD = 6.0
"""Images whose features are computed while one is learned from."""
_VIEWS, _VALIDATION = 2, 1.15
"""Views of an image; its share of validation images, at the end."""
_START_AND_END = 8.0
"""Seconds that are neither features nor steps: decoding, duplicates, the layer, the report."""
_HEAD_SHARE = 0.6
"""Share of the time that features may take."""
_FEWEST_EPOCHS = 4.0
"""Epochs of all layers below which the solved layer alone does better."""


class Published(NamedTuple):
    """What is planned for a training that starts from published weights."""

    size: tuple[int, int]
    freeze: float
    why: str


def plan_published(settings: Settings, conditions: Conditions) -> Published | None:
    """Size of the images and share of the training with frozen features; None without weights.

    Args:
        settings: Settings of a person, completed by those of the weights.
        conditions: Facts of the set and of the training.
    """
    name = setting_at(settings, "pretrained.name")
    if name is None:
        return None
    full = PRETRAINED[name].preparation.input_size
    asked = setting_at(settings, "pretrained.freeze")
    if setting_at(settings, "pretrained.head") != "solved" and asked is None:
        asked = PretrainedConfig.freeze
    sides = _sides(settings, conditions, max(full))
    if conditions.speed is None:
        size = (sides[-1],) * 2 if max(full) in SIDES else full
        return Published(size, 0.0 if asked is None else asked, "the weights' own size")
    step = batch_size(conditions.num_images, (_MEASURED, _MEASURED))
    network = Pick.from_json(settings["network"])
    descent = Pick.from_json(optimiser(network.name, step)[0])
    at = min(_MEASURED, sides[-1])
    speed = conditions.speed(network, descent, step, (at, at))
    rates = {side: speed * (at / side) ** 2 for side in sides}
    seconds = conditions.seconds - _START_AND_END
    features = {
        side: _VIEWS * _VALIDATION * conditions.num_images / (_FORWARD * rate)
        for side, rate in rates.items()
    }
    epochs = {
        side: (seconds - features[side]) * rates[side] / conditions.num_images for side in sides
    }
    tuned = [side for side in sides if epochs[side] >= _FEWEST_EPOCHS]
    measured = f"{speed:,.0f} images/s are learned from here at {at} × {at}"
    if asked != 1 and tuned:
        side = tuned[-1]
        why = f"{measured}: time for {epochs[side]:.0f} epochs of all layers"
        return Published((side, side), 0.0 if asked is None else asked, why)
    affordable = [side for side in sides if features[side] <= _HEAD_SHARE * seconds]
    side = affordable[-1] if affordable else sides[0]
    why = f"{measured}: {features[side]:.0f} s for the features of all images"
    return Published((side, side), 1.0 if asked is None else asked, why)


def _sides(settings: Settings, conditions: Conditions, largest: int) -> list[int]:
    """Sides that the network takes, and that the images are worth; rising."""
    network = Pick.from_json(settings["network"])
    own = min(conditions.heights[1], conditions.widths[1])
    taken = [
        side
        for side in sorted({*SIDES, largest})
        if side <= largest and size_problem(network, 3, (side, side)) is None
    ]
    worth = [side for side in taken if side <= _ENLARGED * own]
    return worth or taken[:1] or [largest]
