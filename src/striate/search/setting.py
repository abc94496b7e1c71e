"""A configuration with one setting changed, as a search names settings.

Beside the settings of `--set` there is "width", a multiple of all widths of a network, and the
augmentations can be written as one word: "flip+shift", "none".
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from striate.config import RunConfig
from striate.data.augment import AUGMENTATIONS
from striate.errors import ConfigError, unknown_name
from striate.losses import LOSSES
from striate.networks import NETWORKS
from striate.optim import OPTIMISERS, SCHEDULES
from striate.registry import Pick, Registry
from striate.settings import checked, merge
from striate.typed_json import encode

__all__ = ["applies", "change", "planned", "spell_augmentation", "value_at", "widened"]

WIDTH = "width"
NOTHING = "none"

_WIDTHS = ("widths", "width", "hidden", "num_filters", "growth")
"""Arguments of networks that say how wide they are, and nothing else."""

_TABLES: dict[str, Registry[Any]] = {
    "network": NETWORKS,
    "loss": LOSSES,
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
}


def applies(config: RunConfig, key: str) -> bool:
    """Whether a configuration has the setting: a network has its own arguments only."""
    if key == WIDTH:
        return _width(config.network) is not None
    group, _, name = key.partition(".")
    if name and group in _TABLES:
        pick: Pick = getattr(config, group)
        return pick.name in _TABLES[group] and name in _TABLES[group].parameters(pick.name)
    return group != "pretrained" or config.pretrained is not None


def change(config: RunConfig, key: str, value: Any) -> RunConfig:
    """The configuration with one setting changed.

    Args:
        config: to change.
        key: dotted name, or "width".
        value: of JSON; a multiple for "width".

    Raises:
        ConfigError: a setting that does not exist, or a value that does not fit.
    """
    if key == WIDTH:
        return replace(config, network=widened(config.network, float(value)))
    if key == "augmentation":
        return _augmented(config, value)
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return RunConfig.from_json(merge(config.to_json(), checked(nested)))


def planned(config: RunConfig, key: str) -> float | None:
    """The number that a setting has in a configuration; None where it has none."""
    value = value_at(config, key)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def value_at(config: RunConfig, key: str) -> Any:
    """The value of a setting in a configuration, or its default."""
    if key == WIDTH:
        name = _width(config.network)
        return None if name is None else config.network.arguments.get(name)
    if key == "augmentation":
        return spell_augmentation(config)
    group, _, name = key.partition(".")
    held = getattr(config, group, None)
    if isinstance(held, Pick):
        return _argument(_TABLES.get(group), held, name) if name else held.name
    return encode(getattr(held, name, None)) if name else encode(held)


def spell_augmentation(config: RunConfig) -> str:
    """The augmentations of a configuration as one word."""
    return "+".join(pick.name for pick in config.augmentation) or NOTHING


def widened(pick: Pick, factor: float) -> Pick:
    """The network with all its widths times a factor, multiples of 8 where they allow it.

    Example:
        >>> widened(Pick("airbench", widths=[32, 128]), 1.5)
        Pick('airbench', widths=[48, 192])

    Raises:
        ConfigError: a network without widths.
    """
    name = _width(pick)
    held = None if name is None else _argument(NETWORKS, pick, name)
    if name is None or held is None:
        raise ConfigError(
            f"The network {pick.name!r} has no width to vary; leave out width, or search an "
            "argument of its own."
        )
    if isinstance(held, (list, tuple)):
        return pick.replace(**{name: [_scaled(width, factor) for width in held]})
    return pick.replace(**{name: _scaled(held, factor)})


def _scaled(width: int, factor: float) -> int:
    unit = 8 if width >= 16 else 1
    return width if factor == 1 else max(1, unit * round(factor * width / unit))


def _width(pick: Pick) -> str | None:
    if pick.name not in NETWORKS:
        return None
    accepted = NETWORKS.parameters(pick.name)
    named = [name for name in _WIDTHS if name in accepted]
    return next((n for n in named if _argument(NETWORKS, pick, n) is not None), None)


def _argument(table: Registry[Any] | None, pick: Pick, name: str) -> Any:
    """An argument as given, else its default; None where it has neither."""
    if name in pick.arguments:
        return pick.arguments[name]
    if table is None or pick.name not in table:
        return None
    parameter = table.parameters(pick.name).get(name)
    if parameter is None or parameter.default is inspect.Parameter.empty:
        return None
    return parameter.default


def _augmented(config: RunConfig, value: Any) -> RunConfig:
    """With other augmentations; the network answers from mirrored views only if it saw such."""
    words = value.split("+") if isinstance(value, str) else value
    if value == NOTHING:
        words = []
    if not isinstance(words, list):
        raise ConfigError(
            f"augmentation={value!r} does not fit; accepted: names joined by + (flip+shift), "
            f"{NOTHING}, or a list of names or groups."
        )
    kept = {pick.name: pick for pick in config.augmentation}
    picks = []
    for word in words:
        pick = Pick.from_json(dict(word) if isinstance(word, Mapping) else word)
        if pick.name not in AUGMENTATIONS:
            raise ConfigError(unknown_name("augmentation", pick.name, AUGMENTATIONS))
        # a name alone means it as it was planned
        picks.append(kept.get(pick.name, pick) if isinstance(word, str) else pick)
    names = {pick.name for pick in picks}
    views = config.prediction
    views = replace(
        views,
        mirrored=views.mirrored and "flip" in names,
        shift=views.shift if "shift" in names else 0,
    )
    return replace(config, augmentation=tuple(picks), prediction=views)
