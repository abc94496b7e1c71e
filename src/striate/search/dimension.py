"""One setting that a search varies: a range of numbers, or a few choices.

Numbers may be multiples of what the plan for the data says ("x0.5..x2"): a rate that suits one
network says little about another, while twice the planned one means the same for both.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import optuna

from striate.errors import ConfigError

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(x?)({_NUMBER})\.\.(x?)({_NUMBER})(:log)?")
_MULTIPLE = re.compile(rf"x({_NUMBER})")
_ACCEPTED = (
    "accepted: LOW..HIGH (1e-4..1e-1:log for equal ratios), multiples of the plan (x0.5..x2), or "
    "choices (adamw,sgd)"
)


@dataclass(frozen=True)
class Dimension:
    """All numbers from `low` to `high`, or one of `choices`."""

    key: str
    choices: tuple[Any, ...] = ()
    """JSON values; empty for a range."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Equal ratios are equally likely, rather than equal differences."""
    whole: bool = False
    """Whole numbers only."""
    relative: bool = False
    """Multiples of the planned value."""

    @property
    def names(self) -> tuple[str, ...]:
        """The choices as text, which is what a search stores."""
        if self.relative:
            return tuple(f"x{value:g}" for value in self.choices)
        return tuple(v if isinstance(v, str) else json.dumps(v) for v in self.choices)

    @property
    def samples(self) -> tuple[Any, ...]:
        """All choices, or both ends of a range."""
        ends = (int(self.low), int(self.high)) if self.whole else (self.low, self.high)
        return self.choices or ends

    @property
    def middle(self) -> Any:
        """The first choice, or the middle of a range."""
        if self.choices:
            return self.choices[0]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.whole else middle

    def contains(self, value: Any) -> bool:
        """Whether a value is a choice, or lies in the range."""
        if self.choices:
            return value in self.choices
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def stored(self, value: Any) -> Any:
        """The number, or the label of the choice, that a search stores for a value."""
        return self.names[self.choices.index(value)] if self.choices else value

    def draw(self, trial: optuna.Trial) -> Any:
        """The value in a trial: drawn now, or as it was drawn before."""
        if self.choices:
            label = trial.suggest_categorical(self.key, self.names)
            return self.choices[self.names.index(label)]
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def spell(self) -> str:
        """The dimension as it is written on the command line."""
        if self.choices:
            return ",".join(self.names)
        mark = "x" if self.relative else ""
        log = ":log" if self.log and not self.relative else ""
        return f"{mark}{self.low:g}..{mark}{self.high:g}{log}"

    def to_json(self) -> dict[str, Any]:
        """The dimension as JSON values."""
        if self.choices:
            return {"key": self.key, "choices": list(self.choices), "relative": self.relative}
        return {"key": self.key, "values": self.spell(), "whole": self.whole}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Dimension":
        """The dimension back from `to_json`."""
        if "choices" in value:
            return cls(value["key"], tuple(value["choices"]), relative=value["relative"])
        return replace(parse_dimension(value["key"], value["values"]), whole=value["whole"])


def parse_dimension(key: str, value: Any) -> Dimension:
    """The dimension that is meant by a value of the command line or of a file.

    Args:
        key: The setting: "optimiser.lr".
        value: Text of the command line, a list of choices, or a group with "low", "high" and
            perhaps "log".

    Raises:
        ConfigError: A value that makes no sense.

    Example:
        >>> parse_dimension("optimiser.lr", "1e-3..0.1:log").spell()
        '0.001..0.1:log'
        >>> parse_dimension("training.batch_size", "x0.5,x1").choices
        (0.5, 1.0)
    """
    if isinstance(value, Mapping):
        return _group_range(key, value)
    if isinstance(value, str):
        if match := _RANGE.fullmatch(value.strip()):
            return _range(key, match)
        if ".." in value:
            raise ConfigError(f"{key}={value} is no range of numbers; {_ACCEPTED}.")
        value = _split(value)
    if not isinstance(value, Sequence) or not value:
        raise ConfigError(f"{key}={value!r} says nothing to search; {_ACCEPTED}.")
    return _choices(key, list(value))


def _range(key: str, match: re.Match[str]) -> Dimension:
    first, low, second, high, log = match.groups()
    if first != second:
        raise ConfigError(f"{key}={match[0]}: write x before both ends of a multiple, or neither.")
    whole = not first and all(end.lstrip("+-").isdigit() for end in (low, high))
    dimension = Dimension(
        key, (), float(low), float(high), bool(log or first), whole, relative=bool(first)
    )
    text = f"{key}={dimension.spell()}"
    if not (math.isfinite(dimension.high) and dimension.low < dimension.high):
        raise ConfigError(f"{text}: the first number must be below the second one.")
    if dimension.log and dimension.low <= 0:
        raise ConfigError(f"{text}: multiples and logarithms need numbers above zero.")
    return dimension


def _group_range(key: str, value: Mapping[str, Any]) -> Dimension:
    """The range of a group with "low", "high" and perhaps "log", as a file may have it."""
    log = value.get("log", False)
    match = _RANGE.fullmatch(f"{value.get('low')}..{value.get('high')}{':log' if log else ''}")
    if match is None or not isinstance(log, bool) or not {*value} <= {"low", "high", "log"}:
        raise ConfigError(
            f"{key}={dict(value)!r} does not fit; accepted: low and high as numbers, log as true "
            "or false."
        )
    return _range(key, match)


def _split(text: str) -> list[Any]:
    """The values between commas: JSON where they parse, else text."""
    values: list[Any]
    try:
        values = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        values = [word.strip() for word in text.split(",") if word.strip()]
        for i, word in enumerate(values):
            with suppress(ValueError, RecursionError):
                values[i] = json.loads(word)
    return values


def _choices(key: str, values: list[Any]) -> Dimension:
    multiples = [_MULTIPLE.fullmatch(v) for v in values if isinstance(v, str)]
    factors = [float(match[1]) for match in multiples if match]
    if 0 < len(factors) < len(values):
        raise ConfigError(f"{key}: write x before every multiple of the plan, or before none.")
    dimension = Dimension(key, tuple(factors or values), relative=bool(factors))
    if factors and min(factors) <= 0:
        raise ConfigError(f"{key}={dimension.spell()}: multiples must be above zero.")
    if len(set(dimension.names)) < len(values):
        raise ConfigError(f"{key}={dimension.spell()} names one choice twice.")
    return dimension
