"""The input of the network: size, channels, augmentation."""

from typing import TYPE_CHECKING, Any

from striate.config import DataConfig
from striate.data import Survey
from striate.data.picture import FULL_DEPTH
from striate.data.split import validation_share
from striate.registry import Pick
from striate.settings import Settings, setting_at
from striate.training.fitting import fitted, size_problem, smaller
from striate.training.planner.draft import Draft

if TYPE_CHECKING:
    from striate.training.planner.published import Published

KEPT_SIZE = 64
"""Images up to this side are used as they are."""
TINY_SIZE = 16
"""Largest side of images that show little."""
_TIME_FOR_VIEWS = 120.0
"""Seconds of a training from which on moved views are worth their time."""
_CHARACTER_SIZE = 32  # grey images up to this side are taken for characters
_SHRUNK_FROM = 32
"""Side from which on an image shown smaller still has what it is known by."""
_SHRUNK_SHARE, _SHRUNK_SCALE = 0.4, 0.6
"""Share of the training, and of the sides."""


def num_training(survey: Survey, settings: Settings) -> int:
    """Images that will be trained on: what the source names, less what is held out."""
    data = settings.get("data") or {}
    counts = {split: sum(per_class) for split, per_class in survey.counts_per_class.items()}
    num, folds = counts.get("train", 0) + counts.get("unsplit", 0), data.get("folds")
    if "test" not in counts:
        num = round(num * (1 - float(data.get("test_fraction", DataConfig.test_fraction))))
    if folds:
        num = round((num + counts.get("validation", 0)) * (1 - 1 / folds))
    elif "validation" not in counts:
        fraction = data.get("validation_fraction")
        num = round(num * (1 - (validation_share(num) if fraction is None else float(fraction))))
    return max(1, num)  # a share that leaves none is reported with all that does not fit


def decide_images(
    draft: Draft, survey: Survey, num: int, published: "Published | None" = None
) -> tuple[int, int]:
    """Input size and channels; height and width come back."""
    grey = survey.grey_share == 1.0
    why = (
        "all images are grey" if grey else f"{1 - survey.grey_share:.0%} of the images have colour"
    )
    suggested, reason = _input_size(survey, num)
    if published is not None:
        suggested, reason = published.size, published.why
        draft.fill("pretrained.freeze", published.freeze)
    seen = channels(survey, draft.settings)
    suggested, reason = fitted(draft.wanted("network"), seen, suggested, reason)
    shown = f"{suggested[0]} × {suggested[1]}"
    size = draft.decide("data.input_size", "input size", list(suggested), reason, shown)
    draft.decide("data.channels", "channels", 1 if grey else 3, why, "grey" if grey else "RGB")
    decide_depth(draft, survey)
    return size[0], size[1]


def decide_depth(draft: Draft, survey: Survey) -> None:
    """Bits that the values of 16-bit images fill, where these are not all 16."""
    if (survey.bits or FULL_DEPTH) < FULL_DEPTH:
        why = f"no value of the 16-bit images is above {survey.largest:,}"
        draft.decide("data.bits", "depth", survey.bits, why, f"{survey.bits} bits")


def channels(survey: Survey, settings: Settings) -> int:
    """Channels that a person set, else 1 for images that are all grey, else 3."""
    return setting_at(settings, "data.channels") or (1 if survey.grey_share == 1.0 else 3)


def is_tiny_character(survey: Survey, size: tuple[int, ...]) -> bool:
    """Whether all images are grey and of a few pixels, as scikit-learn's digits are."""
    return survey.grey_share == 1.0 and max(size) <= TINY_SIZE


def decide_augmentation(
    draft: Draft,
    survey: Survey,
    size: tuple[int, ...],
    seconds: float,
    *,
    hasty: bool,
    zoom: float | None = None,
) -> None:
    """Random changes in training, and the views of an image in prediction.

    Moved views treble the work of the last validation, which a short training cannot afford. One
    that shows each image once or twice has nothing to vary but the side.
    """
    augmentation, why = _augmentation(survey, size)
    suited = [item for item in augmentation if item["name"] not in draft.unsuited]
    if len(suited) < len(augmentation):
        augmentation, why = suited, "others would change what is predicted"
    published = setting_at(draft.settings, "pretrained.head") == "solved"
    if (hasty or published) and any(item["name"] == "flip" for item in augmentation):
        augmentation = [item for item in augmentation if item["name"] == "flip"]
        why = f"photographs, {'for known features' if published else 'each shown a time or two'}"
    shown = ", ".join(item["name"] for item in augmentation) or "none"
    held = draft.decide("augmentation", "augmentation", augmentation, why, shown)
    names = {item["name"] if isinstance(item, dict) else item for item in held}
    views: dict[str, Any] = {"mirrored": "flip" in names, "shift": 0}
    if "shift" in names and min(size) > TINY_SIZE and seconds >= _TIME_FOR_VIEWS:
        views["shift"] = max(1, round(min(size) / 32))
    if zoom is not None:
        views["zoom"] = zoom
    if any(views.values()) or draft.wanted("prediction") is not None:
        words = ["mirrored"] * views["mirrored"]
        words += [f"moved by {views['shift']}"] if views["shift"] else []
        words += [f"the inner {zoom:.0%} enlarged"] if zoom is not None else []
        why = "what training varies is averaged over when the network answers"
        draft.decide("prediction", "views", views, why, "as it is, " + ", ".join(words))


def decide_shrinking(draft: Draft, size: tuple[int, ...]) -> None:
    """Smaller images in the first part of a training by the clock, for the planner's network.

    Such a step costs less than half, and what it teaches of outlines stays.
    """
    if draft.planned("network.name") != "airbench" or min(size) < _SHRUNK_FROM:
        return
    shown = smaller(size, draft.wanted("training.small_scale") or _SHRUNK_SCALE)
    network = Pick.from_json(draft.planned("network"))
    if size_problem(network, draft.planned("data.channels"), size, shown) is None:
        draft.fill("training.small_share", _SHRUNK_SHARE)
        draft.fill("training.small_scale", _SHRUNK_SCALE)
    share = draft.planned("training.small_share")
    if share:
        words = f"{' × '.join(map(str, shown))} in the first {share:.0%}"
        draft.note("smaller at first", words, "more images in the same time, less error")


def _median_size(survey: Survey) -> tuple[int, int]:
    return survey.heights[1], survey.widths[1]


def is_one_size(survey: Survey) -> bool:
    """Whether all images have the same height and width."""
    return survey.heights[0] == survey.heights[2] and survey.widths[0] == survey.widths[2]


def _input_size(survey: Survey, num: int) -> tuple[tuple[int, int], str]:
    """Height and width: the images' own where they are small, else by their number."""
    height, width = _median_size(survey)
    # A network needs two pixels to see a difference.
    height, width = max(2, height), max(2, width)
    if max(height, width) <= KEPT_SIZE:
        why = "the images' own size" if is_one_size(survey) else "the images' median size"
        return (height, width), why
    side = 128 if num < 5_000 else 96 if num < 20_000 else 64
    side = min(side, min(height, width))
    why = f"median image {height} × {width}; {num:,} training images"
    if not is_one_size(survey):
        return (side, side), why
    scale = side / min(height, width)
    even = [max(8, round(length * scale / 8) * 8) for length in (height, width)]
    return (even[0], even[1]), why


def _augmentation(survey: Survey, size: tuple[int, ...]) -> tuple[list[dict[str, Any]], str]:
    """Photographs may be mirrored, drawings and characters may not."""
    if survey.grey_share == 1.0 and max(_median_size(survey)) <= _CHARACTER_SIZE:
        return [{"name": "affine"}], "small grey characters: a mirrored one is another one"
    flip = {"name": "flip", "alternating": True}
    if min(size) <= KEPT_SIZE:
        return [flip, {"name": "shift"}], "small photographs"
    return [flip, {"name": "resized_crop"}, {"name": "colour"}], "photographs"
