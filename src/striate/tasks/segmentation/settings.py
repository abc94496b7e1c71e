"""Settings for segmentation: the size of images, windows of them, and the size of the network."""

import math
from typing import Any

from striate.registry import Pick
from striate.settings import setting_at
from striate.tasks.conditions import Conditions
from striate.tasks.task import Setting

_PIXELS = 2**18
"""Pixels of an image at most; larger ones are made smaller."""
_CUT_FROM = 128
"""Shorter side from which on a training sees windows of half the sides."""
_STEM_FROM = 256
"""Shorter side from which on networks may compute at a part of the resolution."""
_BATCH_PIXELS = 2**18
_STEPS = 1_000
"""Steps that the largest network must have time for: fewer of a larger one end worse."""
_WHOLE_STEP = 1.4
"""Time of a step with loss, augmentation and its share of the validations, as a multiple of what is
measured: network and optimiser."""
_SIZES = ((1, 8), (1, 12), (1, 16), (1, 24), (1, 32), (1, 48), (1, 64))
"""Stride of the first convolution and width of the network, in the order of their arithmetic."""
_SIZES_OF_LARGE = (
    *((4, 16), (4, 24), (4, 32)),
    *((2, 16), (2, 24), (2, 32), (2, 48)),
    *((1, 32), (1, 48), (1, 64)),
)
"""The same for large images: many steps at a quarter of the resolution beat few at all of it."""
_OPTIMISER = Pick("muon", lr=0.01, weight_decay=0.01)
_USUAL = 16
"""Width where nothing can be measured."""
_LONG = 120.0
"""Seconds of a training from which on it is validated three times, shorter ones less often."""
_START_AND_END = 15.0
"""Seconds of a training that are not steps."""


def suited_settings(conditions: Conditions) -> dict[str, Setting]:
    """Settings that suit a set of images with masks and a training of so long."""
    size, scale, fit = _input_size(conditions)
    window = _window(size)
    batch = max(4, min(16, conditions.num_images // 10, _BATCH_PIXELS // math.prod(window)))
    own: Any = setting_at(conditions.settings, "training.batch_size")
    network, why = _network(conditions, window, own or batch)
    augmentation: list[dict[str, Any]] = [
        {"name": "flip", "alternating": True},
        {"name": "crop", "size": list(window), "smallest": 0.75, "largest": 1.5},
        {"name": "colour"},
    ]
    loss = {"name": "cross_entropy_dice", "balance": 0.5}
    shown = f"{window[0]} × {window[1]}"
    settings = {
        "data.input_size": Setting("input size", list(size), fit[1], f"{size[0]} × {size[1]}"),
        "network": Setting("network", network.to_json(), why, str(network)),
        "training.batch_size": Setting("batch", batch, "large images", str(batch)),
        "loss": Setting(
            "loss",
            loss,
            "rare classes and small regions count",
            "cross-entropy, by half balanced, and Dice",
        ),
        "optimiser": Setting(
            "optimiser",
            _OPTIMISER.to_json(),
            "a quarter of the steps of AdamW to the same loss",
            f"{_OPTIMISER.name}, rate {_OPTIMISER.arguments['lr']:g}",
        ),
        "augmentation": Setting(
            "augmentation",
            augmentation,
            f"windows of {shown} pixels, whole images are measured",
            "flip, crop, colour",
        ),
    }
    if window != size and conditions.seconds >= _LONG:
        why = "each takes as long as many steps"
        settings["training.validations"] = Setting("validations", 3, why, "3")
    if fit[0] is not None:
        settings["data.fit"] = Setting("fit", fit[0], "no image is cut", fit[0])
    if scale is not None:
        why = "images to predict are shown at the scale of the training images"
        settings["task.scale"] = Setting("scale", scale, why, f"{scale:g}")
    return settings


def _input_size(
    conditions: Conditions,
) -> tuple[tuple[int, int], float | None, tuple[str | None, str]]:
    """Height and width; their scale, of images of one size; how others fit, and why."""
    height, width = conditions.heights[1], conditions.widths[1]
    scale = min(1.0, math.sqrt(_PIXELS / (height * width)))
    own: Any = setting_at(conditions.settings, "data.input_size")
    if conditions.is_one_size:
        size = round(height * scale), round(width * scale)
        if own is not None:
            size = own[0], own[1]
            scale = max(size[0] / height, size[1] / width)
        why = "the images' own size" if scale == 1 else f"made smaller from {height} × {width}"
        return size, scale, (None, why)
    size = max(32, round(height * scale / 32) * 32), max(32, round(width * scale / 32) * 32)
    return size, None, ("pad", f"about the median image, {height} × {width}")


def _window(size: tuple[int, int]) -> tuple[int, int]:
    """The part of the images that a step sees: whole small ones, half the sides of others."""
    if min(size) < _CUT_FROM:
        return size
    return max(64, round(size[0] / 64) * 32), max(64, round(size[1] / 64) * 32)


def _network(conditions: Conditions, window: tuple[int, int], batch: int) -> tuple[Pick, str]:
    """The network with most arithmetic that has time for enough steps."""
    own: Any = setting_at(conditions.settings, "network") or {}
    name = own.get("name", "unet")
    usual = _pick(name, _USUAL, 1, window)
    if not usual.arguments or set(own) - {"name"} or conditions.speed is None:
        return usual, "of a usual width, which was not measured"
    needed = _WHOLE_STEP * _STEPS * batch / max(1.0, conditions.seconds - _START_AND_END)
    # Windows of large images have half of the images' sides.
    is_large = name == "unet" and 2 * min(window) >= _STEM_FROM
    sizes = _SIZES_OF_LARGE if is_large else _SIZES
    best, tried = None, []
    for stem, width in sizes:
        pick = _pick(name, width, stem, window)
        rate = conditions.speed(pick, _OPTIMISER, batch, window)
        tried.append(f"{width}{f' after stride {stem}' if stem > 1 else ''}: {rate:.3g}")
        if rate < needed:
            break
        best = pick
    why = f"{_STEPS:,} steps; images/s by width: {', '.join(tried)}"
    if best is None:
        stem, width = sizes[0]
        return _pick(name, width, stem, window), f"the smallest; there is no time for {why}"
    return best, f"the largest with time for {why}"


def _pick(name: str, width: int, stem: int, window: tuple[int, int]) -> Pick:
    """A network of a width; one whose widths are not known is left as it is."""
    depth = max(1, min(4, int(math.log2(min(window) / stem / 6))))
    if name == "unet":
        return Pick(name, width=width, depth=depth, **({"stem": stem} if stem > 1 else {}))
    if name == "segnet":
        stages = depth + 1
        widths = [width * 2 ** min(stage, 3) for stage in range(stages)]
        return Pick(name, widths=widths, counts=[2, 2, 3, 3, 3][:stages])
    return Pick(name)
