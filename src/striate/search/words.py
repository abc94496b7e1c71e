"""A space as a person says it: words of the command line, or a TOML or JSON file."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.errors import ConfigError
from striate.search.dimension import Dimension, parse_dimension

__all__ = ["DEFAULTS", "read_words"]

DEFAULTS = "defaults"
"""The word that keeps what is searched when nobody says anything."""

_SAME_IMAGES = "all trials answer the same images"
_SAME_LENGTH = "all trials have the same length: give --minutes, --epochs or --steps"
_REFUSED = {
    "data": _SAME_IMAGES,
    "task": "a search is for one task",
    "execution": "it changes how fast is computed, not what",
    "training.epochs": _SAME_LENGTH,
    "training.steps": _SAME_LENGTH,
    "training.minutes": _SAME_LENGTH,
    "training.validations": "trials are compared at the same points",
    "training.seed": "the luckiest seed is no better; its spread is told by striate train --seeds",
    "pretrained": "choose the weights with --pretrained",
}
_ALLOWED = (
    "data.input_size",
    "data.channels",
    "data.fit",
    "pretrained.freeze",
    "pretrained.feature_rate",
)


def read_words(words: Sequence[str]) -> tuple[tuple[Dimension, ...], bool]:
    """The dimensions that were said, and whether the usual ones stay beside them.

    Args:
        words: each KEY=VALUES, the path of a .toml or .json file, or "defaults".

    Raises:
        ConfigError: words or files that make no sense, all problems together.
    """
    found: dict[str, Dimension | None] = {}
    problems: list[str] = []
    keep = not words
    for word in words:
        key, separator, text = word.partition("=")
        if word == DEFAULTS:
            keep = True
        elif separator:
            _add(found, key.strip(), text, problems)
        else:
            told = _read_file(word, problems)
            asked = told.pop(DEFAULTS, False)
            if not isinstance(asked, bool):
                problems.append(f"{word}: {DEFAULTS}={asked!r} must be true or false.")
            keep = keep or asked is True
            for name, value in _flat(told):
                _add(found, name, value, problems)
    if problems:
        raise ConfigError([f"--space: {problem}" for problem in problems])
    return tuple(d for d in found.values() if d is not None), keep


def _add(found: dict[str, Dimension | None], key: str, value: Any, problems: list[str]) -> None:
    reason = None if key in _ALLOWED else _REFUSED.get(key) or _REFUSED.get(key.split(".")[0])
    if not key:
        problems.append(f"={value}: there is no setting before the =.")
    elif reason is not None:
        problems.append(f"{key} cannot be searched: {reason}.")
    elif key in found:
        problems.append(f"{key} is given twice.")
    else:
        found[key] = parse_dimension(key, value, problems)


def _read_file(word: str, problems: list[str]) -> dict[str, Any]:
    path = Path(word)
    if path.suffix not in (".toml", ".json"):
        problems.append(
            f"{word!r} is neither KEY=VALUES (optimiser.lr=x0.5..x2) nor a .toml or .json "
            f"file, nor the word {DEFAULTS}."
        )
        return {}
    try:
        text = path.read_text("utf-8")
        told = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}.")
        return {}
    except ValueError as error:
        problems.append(f"{path} is no {path.suffix[1:].upper()}: {error}.")
        return {}
    if not isinstance(told, dict):
        problems.append(f"{path} must hold a table of settings.")
        return {}
    return told


def _flat(told: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings by dotted name; a group with "low" or "high" is a range."""
    rows: list[tuple[str, Any]] = []
    for name, value in told.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            rows += _flat(value, f"{key}.")
        else:
            rows.append((key, value))
    return rows
