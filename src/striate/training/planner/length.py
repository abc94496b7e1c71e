"""How long: epochs, steps or minutes, and how often the training validates and saves on the way."""

import math
from typing import Any

from striate.settings import Settings, setting_at
from striate.training.planner.draft import Draft
from striate.training.planner.images import TINY_SIZE

_DEFAULT_MINUTES = 10.0
_MOST_EPOCHS = 100
_MOST_EPOCHS_TINY = 40
_TUNING_EPOCHS = 8.0
"""Epochs of all layers after a solved last one, where a person set no length."""
_EASY_EPOCHS = 10.0
"""Epochs in which the planner's network learns tiny characters (benchmarks/easy.py)."""
_EASY_IMAGES = 125
"""Images of each class at least, as digits has; of fewer it takes more epochs."""
_IMAGES_SHOWN = 400_000  # beyond this many, one more epoch gains little without more time


def lengths(settings: Settings) -> dict[str, Any]:
    """The lengths that a person set."""
    training = settings.get("training") or {}
    return {k: training[k] for k in ("epochs", "steps", "minutes") if training.get(k) is not None}


def planned_minutes(settings: Settings) -> float | None:
    """Minutes that the training may take; None where only steps or epochs were set."""
    chosen = lengths(settings)
    return chosen.get("minutes") if chosen else _DEFAULT_MINUTES


def is_by_the_clock(settings: Settings) -> bool:
    """Whether minutes alone end the training: what saves time then shows more images."""
    return set(lengths(settings)) == {"minutes"}


def is_easy(settings: Settings, num: int, num_outputs: int, *, tiny_characters: bool) -> bool:
    """Whether the planner's network learns a set in seconds.

    Only the planner's own network, optimiser and batch were measured so: where a person chose
    another one, or a length, no set is easy.

    Args:
        settings: Settings of a person.
        num: Images of the training split.
        num_outputs: Number of outputs of the network.
        tiny_characters: Whether all images are tiny and grey; see `images.is_tiny_character`.
    """
    training = settings.get("training") or {}
    recipe = [settings.get("network"), settings.get("optimiser"), training.get("batch_size")]
    is_own = not lengths(settings) and all(setting is None for setting in recipe)
    return tiny_characters and is_own and num >= _EASY_IMAGES * num_outputs


def most_images(settings: Settings, num: int, size: tuple[int, ...], batch: int) -> float:
    """Images after which epochs or steps end the training, whatever time is left.

    Args:
        settings: Settings of a person.
        num: Images of the training split.
        size: Height and width of the images, pixels.
        batch: Images a step.
    """
    held = {**_length(num, size, settings)[0], **lengths(settings)}
    ends = [held["epochs"] * num] if "epochs" in held else []
    ends += [held["steps"] * batch] if "steps" in held else []
    return min(ends, default=math.inf)


def decide_length(draft: Draft, num: int, size: tuple[int, ...], *, easy: bool) -> None:
    """Decide the length, the average of weights, the validations and the checkpoints.

    Args:
        draft: Draft of the plan.
        num: Images of the training split.
        size: Height and width of the images, pixels.
        easy: Whether the set is learned in seconds; see `is_easy`.
    """
    length, why = _length(num, size, draft.settings)
    if not lengths(draft.settings) and setting_at(draft.settings, "pretrained.head") == "solved":
        length["epochs"] = min(_TUNING_EPOCHS, length["epochs"])
        why = "features that know much already; a longer training is --minutes M away"
    if easy:
        length["epochs"] = min(_EASY_EPOCHS, length["epochs"])
        why = "tiny characters: more epochs change the error by chance only; longer: --minutes M"
    for name, value in {**length, "ema_half_life": 0.03}.items():
        draft.fill(f"training.{name}", value)
    if easy:
        draft.fill("training.validations", 5)
        draft.fill("training.checkpoints", 5)
    minutes = planned_minutes(draft.settings)
    if minutes is not None and minutes < 10:
        # Each validation takes a second or so: a short training cannot afford many.
        draft.fill("training.validations", 1 if minutes < 0.5 else 2 if minutes < 2 else 5)
        draft.fill("training.checkpoints", 5 if minutes < 2 else 10)
    held = {**length, **lengths(draft.settings)}
    chosen = lengths(draft.settings)
    shown = {"epochs": "{:g} epochs", "steps": "{:,} steps"}
    words = [t.format(held[k]) for k, t in shown.items() if k in (chosen or held)]
    if "minutes" in held:
        unit = "minute" if held["minutes"] == 1 else "minutes"
        words.append(f"{'at most ' if words else ''}{held['minutes']:g} {unit}")
    draft.note("length", ", ".join(words), why)


def _length(num: int, size: tuple[int, ...], settings: Settings) -> tuple[dict[str, Any], str]:
    chosen = lengths(settings)
    if chosen and "minutes" not in chosen:
        return {}, "as asked"
    most = _MOST_EPOCHS_TINY if max(size) <= TINY_SIZE else _MOST_EPOCHS
    if chosen:
        why = f"as asked; {3 * most} epochs at most, for more of the same images gain nothing"
        return {"epochs": 3.0 * most}, why
    epochs = float(max(10, min(most, round(_IMAGES_SHOWN / max(1, num)))))
    why = f"{num:,} training images; a longer training is --minutes M away"
    return {"epochs": epochs, "minutes": _DEFAULT_MINUTES}, why
