"""What to train when nobody said: network, input size, batch, augmentation, rate, length.

The planner looks at a quick survey of the images and fills in every setting that a person left
open. Each choice carries its reason, to be shown and kept with the run.
"""

from dataclasses import dataclass
from typing import Any

from striate.config import DataConfig, RunConfig, Settings, merge, unknown_settings
from striate.data import Survey
from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.training.fitting import fitted

__all__ = ["Choice", "advise"]

_DEFAULT_MINUTES = 10.0
_KEPT_SIZE = 64  # images up to this side are used as they are
_CHARACTER_SIZE = 32  # grey images up to this side are taken for characters
_MOST_EPOCHS = 100
_IMAGES_SHOWN = 400_000  # beyond this many, one more epoch gains little without more time


@dataclass(frozen=True)
class Choice:
    """One decision: what, which value, why."""

    what: str
    value: str
    why: str


def advise(source: str, survey: Survey, settings: Settings) -> tuple[RunConfig, list[Choice]]:
    """The resolved configuration of a training, and the choices made with their reasons.

    Args:
        source: the data's path or name, as given.
        survey: a quick look at the data.
        settings: what a person asked for; it always wins.

    Raises:
        ConfigError: settings that do not exist or do not fit, all together.
    """
    problems = unknown_settings(settings)
    if problems:
        raise ConfigError(problems)
    plan: Settings = {}
    choices: list[Choice] = []

    def decide(path: str, what: str, value: Any, why: str, shown: str | None = None) -> None:
        nonlocal plan
        nested: Any = value
        given: Any = settings
        for key in path.split("."):
            given = given.get(key) if isinstance(given, dict) else None
        for key in reversed(path.split(".")):
            nested = {key: nested}
        plan = merge(plan, nested)
        if given is None:
            choices.append(Choice(what, shown or str(value), why))
        else:
            choices.append(Choice(what, _show(given), "as asked"))

    num = _num_training(survey, settings)
    size, why = _input_size(survey, num)
    channels = 1 if survey.grey_share == 1.0 else 3
    size, why = fitted(settings.get("network"), channels, size, why)
    decide("data.input_size", "input size", list(size), why, f"{size[0]} × {size[1]}")
    size = tuple((settings.get("data") or {}).get("input_size") or size)
    grey = survey.grey_share == 1.0
    decide(
        "data.channels",
        "channels",
        1 if grey else 3,
        "all images are grey" if grey else f"{1 - survey.grey_share:.0%} of the images have colour",
        "grey" if grey else "RGB",
    )
    widths, why = _widths(size, num)
    decide(
        "network",
        "network",
        {"name": "airbench", "widths": widths},
        why,
        f"airbench {'-'.join(map(str, widths))}",
    )
    batch = _batch_size(num)
    decide("training.batch_size", "batch", batch, "enough steps an epoch, enough images a step")
    augmentation, why = _augmentation(survey, size)
    decide(
        "augmentation",
        "augmentation",
        augmentation,
        why,
        ", ".join(item["name"] for item in augmentation),
    )
    network = merge(plan["network"], _as_group(settings.get("network")))
    optimiser = _optimiser(network["name"], batch)
    decide(
        "optimiser",
        "optimiser",
        optimiser,
        "Nesterov momentum; the rate grows with the batch"
        if optimiser["name"] == "sgd"
        else "adapts its rate to networks without normalisation",
        f"{optimiser['name']}, rate {optimiser['lr']:g}",
    )
    schedule = {"name": "one_cycle", "peak": 0.2}
    decide(
        "schedule", "schedule", schedule, "rises, then falls to zero as the time ends", "one-cycle"
    )
    decide(
        "loss",
        "loss",
        {"name": "softmax_cross_entropy", "label_smoothing": 0.1},
        "softened targets keep the network from overconfidence",
        "cross-entropy, smoothing 0.1",
    )
    length, why = _length(num, settings)
    plan = merge(plan, {"training": {**length, "ema_half_life": 0.03}})
    choices.append(Choice("length", _show_length({**length, **_lengths(settings)}), why))
    resolved = merge(merge(plan, {"data": {"source": source}}), _whole(settings))
    return RunConfig.from_json(resolved), choices


def _num_training(survey: Survey, settings: Settings) -> int:
    """Images that will be trained on: what the source names, less what is held out."""
    data = settings.get("data") or {}
    counts = {split: sum(per_class) for split, per_class in survey.counts_per_class.items()}
    num = counts.get("train", 0) + counts.get("unsplit", 0)
    if "test" not in counts:
        num = round(num * (1 - float(data.get("test_fraction", DataConfig.test_fraction))))
    if "validation" not in counts:
        share = float(data.get("validation_fraction", DataConfig.validation_fraction))
        num = round(num * (1 - share))
    return num


def _median_size(survey: Survey) -> tuple[int, int]:
    return survey.heights[1], survey.widths[1]


def _one_size(survey: Survey) -> bool:
    return survey.heights[0] == survey.heights[2] and survey.widths[0] == survey.widths[2]


def _as_group(value: Any) -> dict[str, Any]:
    return {"name": value} if isinstance(value, str) else dict(value or {})


def _whole(settings: Settings) -> Settings:
    """Settings with bare names of choices written as groups, so that they merge."""
    picks = ("network", "loss", "optimiser", "schedule", "task")
    return {k: _as_group(v) if k in picks else v for k, v in settings.items()}


def _show(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={v}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')} {inner}".strip()
    return str(value)


def _input_size(survey: Survey, num: int) -> tuple[tuple[int, int], str]:
    """Height and width: the images' own where they are small, else by their number."""
    height, width = _median_size(survey)
    if max(height, width) <= _KEPT_SIZE:
        why = "the images' own size" if _one_size(survey) else "the images' median size"
        return (height, width), why
    side = 128 if num < 5_000 else 96 if num < 20_000 else 64
    side = min(side, min(height, width))
    why = f"median image {height} × {width}; {num:,} training images"
    if not _one_size(survey):
        return (side, side), why
    scale = side / min(height, width)
    even = [max(8, round(length * scale / 8) * 8) for length in (height, width)]
    return (even[0], even[1]), why


def _widths(size: tuple[int, ...], num_images: int) -> tuple[list[int], str]:
    """Stages until the map is about 3 pixels; narrow where it is large, wide where it is small."""
    side, stages = min(size) - 1, 0
    while side >= 6 or stages < 2:
        side, stages = side // 2, stages + 1
    stages = min(stages, 6)
    widths = [128] * stages
    for place in range(stages):
        left = stages - 1 - place
        widths[place] = 128 if left < 2 else max(16, 128 >> (2 * (left - 1)))
    if num_images < 500:
        widths = [max(16, width // 2) for width in widths]
    return widths, "the most accurate of our networks for minutes of training"


def _batch_size(num_images: int) -> int:
    return 32 if num_images < 2_000 else 64 if num_images < 10_000 else 128


def _augmentation(survey: Survey, size: tuple[int, ...]) -> tuple[list[dict[str, Any]], str]:
    """Photographs may be mirrored, drawings and characters may not."""
    if survey.grey_share == 1.0 and max(_median_size(survey)) <= _CHARACTER_SIZE:
        return [{"name": "affine"}], "small grey characters: a mirrored one is another one"
    flip, shift = {"name": "flip"}, {"name": "shift"}
    if min(size) <= _KEPT_SIZE:
        return [flip, shift], "small photographs"
    return [flip, {"name": "resized_crop"}, {"name": "colour"}], "photographs"


def _optimiser(network: str, batch: int) -> dict[str, Any]:
    if network in ("airbench", "resnet"):
        return {"name": "sgd", "lr": 0.3 * (batch / 128) ** 0.5, "weight_decay": 5e-4}
    if network in NETWORKS:
        return {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01}
    return {"name": "sgd", "lr": 0.1}


def _lengths(settings: Settings) -> dict[str, Any]:
    given = settings.get("training") or {}
    return {k: given[k] for k in ("epochs", "steps", "minutes") if given.get(k) is not None}


def _length(num: int, settings: Settings) -> tuple[dict[str, Any], str]:
    given = _lengths(settings)
    if given and "minutes" not in given:
        return {}, "as asked"
    epochs = float(max(10, min(_MOST_EPOCHS, round(_IMAGES_SHOWN / max(1, num)))))
    if "minutes" in given:
        return {
            "epochs": 3.0 * _MOST_EPOCHS
        }, "as asked; more epochs of the same images would gain nothing"
    why = f"{num:,} training images; a longer training is --minutes M away"
    return {"epochs": epochs, "minutes": _DEFAULT_MINUTES}, why


def _show_length(length: dict[str, Any]) -> str:
    shown = {"epochs": "{:g} epochs", "steps": "{:,} steps", "minutes": "at most {:g} minutes"}
    words = [text.format(length[key]) for key, text in shown.items() if key in length]
    return ", ".join(words)
