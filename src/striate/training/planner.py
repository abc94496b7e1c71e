"""What to train when nobody said: network, input size, batch, augmentation, rate, length.

The planner looks at a quick survey of the images and fills in every setting that a person left
open. Each choice carries its reason, to be shown and kept with the run.
"""

from dataclasses import dataclass, field
from typing import Any

from striate.config import DataConfig, RunConfig
from striate.data import Survey
from striate.settings import Settings, merge
from striate.training.fitting import fitted

__all__ = ["Choice", "advise"]

_DEFAULT_MINUTES = 10.0
_KEPT_SIZE = 64  # images up to this side are used as they are
_CHARACTER_SIZE = 32  # grey images up to this side are taken for characters
_TINY_SIZE = 16  # there is little to see: half the widths learn it as well
_MOST_EPOCHS = 100
_MOST_EPOCHS_TINY = 40
_IMAGES_SHOWN = 400_000  # beyond this many, one more epoch gains little without more time


@dataclass(frozen=True)
class Choice:
    """One decision: what, which value, why."""

    what: str
    value: str
    why: str


@dataclass
class _Draft:
    """A plan that grows choice by choice; what a person asked for always wins."""

    asked: Settings
    plan: Settings = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)

    def given(self, path: str) -> Any:
        """What was asked for under a dotted path; None where nothing was."""
        return _at(self.asked, path)

    def decide(self, path: str, what: str, value: Any, why: str, shown: str | None = None) -> Any:
        """Propose a value; the value that holds comes back."""
        given = self.given(path)
        self.plan = merge(merge(self.plan, _nested(path, value)), _nested(path, given))
        held = _at(self.plan, path)
        if given is None:
            self.choices.append(Choice(what, shown or _show(held), why))
        else:
            self.choices.append(Choice(what, _show(held), "as asked"))
        return held


def advise(source: str, survey: Survey, settings: Settings) -> tuple[RunConfig, list[Choice]]:
    """The resolved configuration of a training, and the choices made with their reasons.

    Args:
        source: the data's path or name, as given.
        survey: a quick look at the data.
        settings: what a person asked for, as `settings.checked` gives it; it always wins.

    Raises:
        ConfigError: settings that do not fit, all together.
    """
    draft = _Draft(settings)
    num = _num_training(survey, settings)
    size = _decide_images(draft, survey, num)
    _decide_network(draft, size, num)
    batch = draft.decide(
        "training.batch_size",
        "batch",
        _batch_size(num),
        "enough steps an epoch, enough images a step",
    )
    augmentation, why = _augmentation(survey, size)
    shown = ", ".join(item["name"] for item in augmentation)
    draft.decide("augmentation", "augmentation", augmentation, why, shown)
    _decide_descent(draft, batch)
    length, why = _length(num, size, settings)
    draft.plan = merge(draft.plan, {"training": {**length, "ema_half_life": 0.03}})
    shown = _show_length({**length, **_lengths(settings)})
    draft.choices.append(Choice("length", shown, why))
    resolved = merge(merge(draft.plan, {"data": {"source": source}}), settings)
    return RunConfig.from_json(resolved), draft.choices


def _decide_images(draft: _Draft, survey: Survey, num: int) -> tuple[int, int]:
    grey = survey.grey_share == 1.0
    why = (
        "all images are grey" if grey else f"{1 - survey.grey_share:.0%} of the images have colour"
    )
    suggested, reason = _input_size(survey, num)
    channels = draft.given("data.channels") or (1 if grey else 3)
    suggested, reason = fitted(draft.given("network"), channels, suggested, reason)
    shown = f"{suggested[0]} × {suggested[1]}"
    size = draft.decide("data.input_size", "input size", list(suggested), reason, shown)
    draft.decide("data.channels", "channels", 1 if grey else 3, why, "grey" if grey else "RGB")
    return size[0], size[1]


def _decide_network(draft: _Draft, size: tuple[int, int], num: int) -> None:
    widths = _widths(size, num)
    why = "made for minutes of training; as many stages as the size bears"
    shown = f"airbench {'-'.join(map(str, widths))}"
    draft.decide("network", "network", {"name": "airbench", "widths": widths}, why, shown)


def _decide_descent(draft: _Draft, batch: int) -> None:
    """Optimiser, schedule and loss."""
    optimiser, why = _optimiser(draft.plan["network"]["name"], batch)
    shown = f"{optimiser['name']}, rate {optimiser['lr']:.3g}"
    draft.decide("optimiser", "optimiser", optimiser, why, shown)
    why = "rises, then falls to zero as the time ends"
    draft.decide("schedule", "schedule", {"name": "one_cycle", "peak": 0.2}, why, "one-cycle")
    loss = {"name": "softmax_cross_entropy", "label_smoothing": 0.1}
    why = "softened targets keep the network from overconfidence"
    draft.decide("loss", "loss", loss, why, "cross-entropy, smoothing 0.1")


def _at(settings: Settings, path: str) -> Any:
    """What settings hold under a dotted path; None where they hold nothing."""
    value: Any = settings
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _nested(path: str, value: Any) -> Settings:
    """{"a": {"b": value}} for "a.b"; nothing for None."""
    if value is None:
        return {}
    for key in reversed(path.split(".")):
        value = {key: value}
    nested: Settings = value
    return nested


def _show(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={v}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')} {inner}".strip()
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return ", ".join(_show(item) for item in value)
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)


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


def _input_size(survey: Survey, num: int) -> tuple[tuple[int, int], str]:
    """Height and width: the images' own where they are small, else by their number."""
    height, width = _median_size(survey)
    # A network needs two pixels to see a difference.
    height, width = max(2, height), max(2, width)
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


def _widths(size: tuple[int, ...], num_images: int) -> list[int]:
    """Stages until the map is about 3 pixels; narrow where it is large, wide where it is small."""
    side, stages = min(size) - 1, 0
    while side >= 6 or stages < 2:
        side, stages = side // 2, stages + 1
    stages = min(stages, 6)
    widths = [128] * stages
    for place in range(stages):
        left = stages - 1 - place
        widths[place] = 128 if left < 2 else max(16, 128 >> (2 * (left - 1)))
    if num_images < 500 or max(size) <= _TINY_SIZE:
        widths = [max(16, width // 2) for width in widths]
    return widths


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


def _optimiser(network: str, batch: int) -> tuple[dict[str, Any], str]:
    if network in ("airbench", "resnet"):
        rate = 0.3 * (batch / 128) ** 0.5
        why = "Nesterov momentum; the rate grows with the batch"
        return {"name": "sgd", "lr": rate, "weight_decay": 5e-4}, why
    why = "adapts its rate to networks without normalisation"
    return {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01}, why


def _lengths(settings: Settings) -> dict[str, Any]:
    given = settings.get("training") or {}
    return {k: given[k] for k in ("epochs", "steps", "minutes") if given.get(k) is not None}


def _length(num: int, size: tuple[int, ...], settings: Settings) -> tuple[dict[str, Any], str]:
    given = _lengths(settings)
    if given and "minutes" not in given:
        return {}, "as asked"
    most = _MOST_EPOCHS_TINY if max(size) <= _TINY_SIZE else _MOST_EPOCHS
    if "minutes" in given:
        why = "as asked; more epochs of the same images would gain nothing"
        return {"epochs": 3.0 * most}, why
    epochs = float(max(10, min(most, round(_IMAGES_SHOWN / max(1, num)))))
    why = f"{num:,} training images; a longer training is --minutes M away"
    return {"epochs": epochs, "minutes": _DEFAULT_MINUTES}, why


def _show_length(length: dict[str, Any]) -> str:
    shown = {"epochs": "{:g} epochs", "steps": "{:,} steps", "minutes": "at most {:g} minutes"}
    words = [text.format(length[key]) for key, text in shown.items() if key in length]
    return ", ".join(words)
