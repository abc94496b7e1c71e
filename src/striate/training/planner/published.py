"""A training that starts from published weights: the size of its images, and what learns.

The last layer is solved on features, which are computed once. More pixels make better features:
15-Scene, 900 images, n = 601, EfficientNet-Lite0, has 14.3 % wrong at 128 × 128, 9.2 at 192, 7.0 at
224 and 8.0 at 256. Where all pixels leave time for some epochs, all layers learn from there: at
128 × 128 five epochs came to 10.6 %, which more pixels have in a third of the time.
"""

import math
from typing import NamedTuple

from striate.config import PretrainedConfig
from striate.data import Survey
from striate.networks import PRETRAINED
from striate.registry import Pick
from striate.settings import Settings, setting_at
from striate.tasks import Conditions
from striate.training.fitting import size_problem
from striate.training.planner.draft import Draft
from striate.training.planner.optimiser import batch_size, optimiser

SIDES = (96, 128, 160, 192, 224)
"""Sides of the images that are considered, pixels, up to the one of the published training."""
_ENLARGED = 3.5
"""Times the images' own side up to which more pixels still help: 2,500 images of 64 × 64 of 20
classes of Tiny ImageNet have 23.5 % wrong at 96 × 96, 21.5 at 128, 17.2 at 160, 15.5 at 192 and at
224 (n = 1,000)."""
_MEASURED = 128
"""Shorter side at which the speed is measured; the cost grows with the pixels."""
FORWARD = 3.9
"""Images whose features are computed while one is learned from."""
_VALIDATION = 1.15
"""Images whose features are computed for one of the training split: the validation split's, too."""
_START_AND_END, _DECODED = 8.0, 800.0
"""Seconds that are neither features nor steps: duplicates, the layer, the report; and images that
are decoded in a second."""
_HEAD_SHARE = 0.6
"""Share of the time that features may take."""
_COVERED = 0.35
"""Share of the images whose features must fit into that: few images of many pixels do better than
many of few (the same set: 2,500 images at 192 × 192 15.5 %, 9,000 at 128 × 128 16.5 %)."""
_FEWEST_EPOCHS = 3.0
"""Epochs of all layers below which the solved layer alone does as well."""
_FEW_IMAGES = 500
"""Images below which other layers are not trained: of 135, ten of each class of 15-Scene, four
epochs made 16.0 and 24.4 % wrong of 13.5 and 15.3 (two draws, n = 1,350)."""
_IN_TURN = (
    "so few images: all are learned from, and each is predicted by a last layer solved without it"
)
_ZOOM, _ZOOMED = 0.7, 4
"""Share of the sides of the centre that is seen as well, and the views that there are then: 7.4 %
wrong for 9.1 with the mirror image alone (80 images of each class of 15-Scene, three draws, n =
300), 12.3 for 13.6 with ten of each class (ten draws, n = 1,350)."""


class Published(NamedTuple):
    """The plan for a training that starts from published weights."""

    size: tuple[int, int]
    freeze: float
    why: str
    zoom: float | None = None
    """Share of the sides of the centre that is seen as well, where that is worth its time."""


def plan_published(
    settings: Settings, conditions: Conditions, spent: float = 0.0
) -> Published | None:
    """Size of the images and share of the training with frozen features; None without weights.

    Args:
        settings: Settings of a person, completed by those of the weights.
        conditions: Facts of the set and of the training.
        spent: Seconds until the images are decoded; 0: a guess by their number.
    """
    name = setting_at(settings, "pretrained.name")
    if name is None:
        return None
    weights = PRETRAINED.get(name)
    asked = setting_at(settings, "pretrained.freeze")
    if setting_at(settings, "pretrained.head") != "solved" and asked is None:
        asked = PretrainedConfig.freeze
    network = Pick.from_json(settings["network"])
    own = setting_at(settings, "data.input_size")
    if own is not None:
        sizes = [(own[0], own[1])]
    elif weights is not None:
        sizes = _sizes(network, conditions, weights.preparation.input_size)
    else:
        return None
    if conditions.speed is None:
        asked = asked or 0.0
        zoom = _ZOOM if asked == 1 and setting_at(settings, "pretrained.head") == "solved" else None
        return Published(sizes[-1], asked, "the weights' own size", zoom)
    at = next((size for size in sizes if min(size) == _MEASURED), sizes[-1])
    step = batch_size(conditions.num_images, at)
    speed = conditions.speed(network, Pick.from_json(optimiser(network.name, step)[0]), step, at)
    spent = spent or conditions.num_images / _DECODED
    seconds = conditions.seconds - _START_AND_END - spent
    offers = [Offer.of(size, speed * math.prod(at) / math.prod(size), conditions) for size in sizes]
    measured = f"{speed:,.0f} images/s are learned from here at {at[0]} × {at[1]}"
    tuned = [o for o in offers if (seconds - o.features) / o.epoch >= _FEWEST_EPOCHS]
    if asked is None and (conditions.num_images < _FEW_IMAGES or tuned[-1:] != offers[-1:]):
        asked = 1.0
    if asked == 1:
        affordable = [o for o in offers if _COVERED * o.features <= _HEAD_SHARE * seconds]
        best = affordable[-1] if affordable else offers[0]
        why = f"{measured}: {best.features:.0f} s for the features of all images"
        if best.features > _HEAD_SHARE * seconds:
            why += ", of which a part must do"
        zoom = _ZOOM if _ZOOMED * best.features <= _HEAD_SHARE * seconds else None
        return Published(best.size, 1.0, why, zoom)
    best = tuned[-1] if tuned else offers[0]
    epochs = max(0.0, seconds - best.features) / best.epoch
    why = f"{measured}: time for {epochs:.0f} epochs of all layers"
    return Published(best.size, asked or 0.0, why)


def decide_validation(draft: Draft, survey: Survey, published: Published | None, num: int) -> None:
    """Validate few images in turn, where that costs no training and nobody set some apart.

    Args:
        draft: Plan so far.
        survey: Survey of the images.
        published: Plan for published weights; None: the training begins without them.
        num: Number of images to train on.
    """
    data = draft.settings.get("data") or {}
    is_open = not {"folds", "validation_fraction"} & data.keys()
    if (
        published is not None
        and published.freeze == 1
        and draft.wanted("pretrained.head") == "solved"
        and num < _FEW_IMAGES
        and is_open
        and not sum(survey.counts_per_class.get("validation", ()))
    ):
        draft.decide("data.validation", "validation", "in turn", _IN_TURN)


class Offer(NamedTuple):
    """A size of the images with what it costs."""

    size: tuple[int, int]
    features: float
    """Seconds for the features of all images."""
    epoch: float
    """Seconds in which all layers learn from all images."""

    @classmethod
    def of(cls, size: tuple[int, int], rate: float, conditions: Conditions) -> "Offer":
        """The cost of a size at which `rate` images are learned from in a second."""
        epoch = conditions.num_images / rate
        return cls(size, _VALIDATION * epoch / FORWARD, epoch)


def _sizes(network: Pick, conditions: Conditions, full: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes that the network takes and the images are worth, rising to the published one.

    Images of one size keep their shape: at their borders may be what counts.
    """
    height, width = conditions.heights[1], conditions.widths[1]
    own = min(height, width)
    sizes = []
    for side in sorted({*SIDES, min(full)}):
        size = full if side == min(full) else (side, side)
        if conditions.is_one_size:
            size = (_even(height * side / own), _even(width * side / own))
        if side <= min(full):
            sizes.append(size)
    # What takes a size takes larger ones.
    while sizes and size_problem(network, 3, sizes[0]) is not None:
        sizes.pop(0)
    return [size for size in sizes if min(size) <= _ENLARGED * own] or sizes[:1] or [full]


def _even(length: float) -> int:
    """A side that halves three times, where it is that long."""
    return 8 * round(length / 8) if length >= 8 * 8 else round(length)
