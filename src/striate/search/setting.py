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
from striate.settings import checked, merge, nested
from striate.typed_json import encode

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
    """Change one setting of a configuration.

    Args:
        config: Configuration to start from.
        key: Dotted name, or "width".
        value: JSON value; a multiple for "width".

    Raises:
        ConfigError: A setting that does not exist, or a value that does not fit.
    """
    if key == WIDTH:
        return replace(config, network=_widened(config.network, float(value)))
    if key == "augmentation":
        return _augmented(config, value)
    return RunConfig.from_json(merge(config.to_json(), checked(nested(key, value))))


def number_at(config: RunConfig, key: str) -> float | None:
    """The number that a setting has in a configuration; None where it has none."""
    value = value_at(config, key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def value_at(config: RunConfig, key: str) -> Any:
    """The value of a setting in a configuration, its default where it is not set."""
    if key == WIDTH:
        name = _width(config.network)
        return None if name is None else config.network.arguments.get(name)
    if key == "augmentation":
        return spell_augmentation(config)
    group, _, name = key.partition(".")
    part = getattr(config, group, None)
    if isinstance(part, Pick):
        return _argument(group, part, name) if name else part.name
    return encode(getattr(part, name, None)) if name else encode(part)


def spell_augmentation(config: RunConfig) -> str:
    """The augmentations of a configuration as one word."""
    return "+".join(pick.name for pick in config.augmentation) or NOTHING


def _widened(pick: Pick, factor: float) -> Pick:
    """The network with all its widths times a factor, multiples of 8 where they allow it."""
    name = _width(pick)
    if name is None:
        raise ConfigError(
            f"The network {pick.name!r} has no width to vary; leave out width, or search an "
            "argument of its own."
        )
    width = _argument("network", pick, name)
    if isinstance(width, (list, tuple)):
        return pick.replace(**{name: [_scaled(w, factor) for w in width]})
    return pick.replace(**{name: _scaled(width, factor)})


def _scaled(width: int, factor: float) -> int:
    unit = 8 if width >= 16 else 1
    return width if factor == 1 else max(1, unit * round(factor * width / unit))


def _width(pick: Pick) -> str | None:
    """The argument of a network that is its width; None where there is none."""
    return next((n for n in _WIDTHS if _argument("network", pick, n) is not None), None)


def _argument(group: str, pick: Pick, name: str) -> Any:
    """The argument of a pick, its default where it is not set; None where it has neither."""
    table = _TABLES.get(group)
    if name in pick.arguments or table is None or pick.name not in table:
        return pick.arguments.get(name)
    parameter = table.parameters(pick.name).get(name)
    if parameter is None or parameter.default is inspect.Parameter.empty:
        return None
    return parameter.default


def _augmented(config: RunConfig, value: Any) -> RunConfig:
    """Other augmentations; predictions average mirrored views only if training has them."""
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
        # a name alone stands for the augmentation as it was planned
        picks.append(kept.get(pick.name, pick) if isinstance(word, str) else pick)
    names = {pick.name for pick in picks}
    prediction = replace(
        config.prediction,
        mirrored=config.prediction.mirrored and "flip" in names,
        shift=config.prediction.shift if "shift" in names else 0,
    )
    return replace(config, augmentation=tuple(picks), prediction=prediction)
