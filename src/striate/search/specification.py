"""The dimensions of a space from the command line, or from a TOML or JSON file."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.errors import ConfigError
from striate.reading import read_bytes, reported_as
from striate.search.dimension import Dimension, parse_dimension

DEFAULTS = "defaults"
"""The word that keeps the usual dimensions beside those that are named."""

_SAME_IMAGES = "all trials are measured on the same images"
_SAME_LENGTH = "all trials have the same length: give --minutes, --epochs or --steps"
_REFUSED = {
    "data": _SAME_IMAGES,
    "task": "a search is for one task",
    "execution": "it changes how fast is computed, not what",
    "training.epochs": _SAME_LENGTH,
    "training.steps": _SAME_LENGTH,
    "training.minutes": _SAME_LENGTH,
    "training.validations": "trials are compared at the same points",
    "training.seed": "the luckiest seed is no better; striate train --seeds reports the spread",
    "pretrained": "choose the weights with --pretrained",
}
_ALLOWED = (
    "data.input_size",
    "data.channels",
    "data.fit",
    "pretrained.freeze",
    "pretrained.feature_rate",
)


def read_dimensions(words: Sequence[str]) -> tuple[tuple[Dimension, ...], bool]:
    """Read dimensions, and whether the usual ones stay beside them.

    Args:
        words: Each KEY=VALUES, the path of a .toml or .json file, or "defaults".

    Raises:
        ConfigError: Words or files that make no sense, all problems together.
    """
    dimensions: list[Dimension] = []
    keys: set[str] = set()
    problems: list[str] = []
    keep = not words
    for word in words:
        try:
            settings = list(_settings(word))
        except ConfigError as error:
            problems += error.problems
            continue
        for key, value in settings:
            try:
                if key == DEFAULTS and not isinstance(value, bool):
                    raise ConfigError(f"{word}: {DEFAULTS}={value!r} must be true or false.")
                if key == DEFAULTS:
                    keep = keep or value
                    continue
                _check_key(key, value, keys)
                dimensions.append(parse_dimension(key, value))
            except ConfigError as error:
                problems += error.problems
    if problems:
        raise ConfigError([f"--space: {problem}" for problem in problems])
    return tuple(dimensions), keep


def _check_key(key: str, value: Any, known: set[str]) -> None:
    refused = None if key in _ALLOWED else _REFUSED.get(key) or _REFUSED.get(key.split(".")[0])
    if not key:
        raise ConfigError(f"={value}: there is no setting before the =.")
    if refused is not None:
        raise ConfigError(f"{key} cannot be searched: {refused}.")
    if key in known:
        raise ConfigError(f"{key} is named twice.")
    known.add(key)


def _settings(word: str) -> Iterator[tuple[str, Any]]:
    """Settings by dotted name that one word of the command line gives."""
    key, separator, text = word.partition("=")
    if word == DEFAULTS:
        yield DEFAULTS, True
    elif separator:
        yield key.strip(), text
    else:
        yield from _flat(_read_file(word))


def _read_file(word: str) -> dict[str, Any]:
    path = Path(word)
    if path.suffix not in (".toml", ".json"):
        raise ConfigError(
            f"{word!r} is neither KEY=VALUES (optimiser.lr=x0.5..x2) nor a .toml or .json "
            f"file, nor the word {DEFAULTS}."
        )
    with reported_as(ConfigError, f"{path} cannot be read"):
        content = read_bytes(path)
    with reported_as(ConfigError, f"{path} is no {path.suffix[1:].upper()}"):
        text = content.decode("utf-8")
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    if not isinstance(table, dict):
        raise ConfigError(f"{path} must hold a table of settings.")
    return table


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name; a group with "low" or "high" is a range."""
    for name, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
