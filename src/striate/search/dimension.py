"""One setting that a search varies: a range of numbers, or a few choices.

Numbers may be multiples of what the plan for the data says ("x0.5..x2"): a rate that suits one
network says little of another, while twice the planned one means the same for both.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.errors import nearest

__all__ = ["Choices", "Dimension", "Range", "from_json", "parse_dimension"]

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(x?)({_NUMBER})\.\.(x?)({_NUMBER})(:log)?")
_MULTIPLE = re.compile(rf"x({_NUMBER})")
_ACCEPTED = (
    "accepted: LOW..HIGH (1e-4..1e-1:log for equal ratios), multiples of the plan (x0.5..x2), or "
    "choices (adamw,sgd)"
)


@dataclass(frozen=True)
class Range:
    """All numbers from low to high."""

    key: str
    low: float
    high: float
    log: bool = False
    """Equal ratios are equally likely, rather than equal differences."""
    whole: bool = False
    """Whole numbers only."""
    relative: bool = False
    """Multiples of the planned value."""

    @property
    def samples(self) -> tuple[Any, ...]:
        """Both ends."""
        ends = (self.low, self.high)
        return tuple(int(end) for end in ends) if self.whole else ends

    def spell(self) -> str:
        """As it is written on the command line."""
        mark = "x" if self.relative else ""
        log = ":log" if self.log and not self.relative else ""
        return f"{mark}{self.low:g}..{mark}{self.high:g}{log}"

    def to_json(self) -> dict[str, Any]:
        return {"key": self.key, "values": self.spell(), "whole": self.whole}


@dataclass(frozen=True)
class Choices:
    """A few values to choose from."""

    key: str
    values: tuple[Any, ...]
    """JSON values; multiples where `relative`."""
    relative: bool = False
    """Multiples of the planned value."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as text, which is what a search remembers."""
        if self.relative:
            return tuple(f"x{value:g}" for value in self.values)
        return tuple(v if isinstance(v, str) else json.dumps(v) for v in self.values)

    @property
    def samples(self) -> tuple[Any, ...]:
        """All values."""
        return self.values

    def value(self, label: str) -> Any:
        """The value that a label stands for."""
        return self.values[self.labels.index(label)]

    def spell(self) -> str:
        """As it is written on the command line."""
        return ",".join(self.labels)

    def to_json(self) -> dict[str, Any]:
        return {"key": self.key, "choices": list(self.values), "relative": self.relative}


Dimension = Range | Choices


def from_json(told: Mapping[str, Any]) -> Dimension:
    """The dimension back from `to_json`."""
    if "choices" in told:
        return Choices(told["key"], tuple(told["choices"]), told["relative"])
    problems: list[str] = []
    found = parse_dimension(told["key"], told["values"], problems)
    if not isinstance(found, Range):
        raise ValueError("; ".join(problems) or f"{told!r} is no range")
    return Range(**{**vars(found), "whole": told["whole"]})


def parse_dimension(key: str, value: Any, problems: list[str]) -> Dimension | None:
    """Read the range or choices of one setting; None, and a problem, where it makes no sense.

    Args:
        key: the setting: "optimiser.lr".
        value: words as on the command line, a list of choices, or a group with "low", "high" and
            perhaps "log", as in a file.
        problems: is added to.

    Example:
        >>> parse_dimension("optimiser.lr", "1e-3..0.1:log", [])
        Range(key='optimiser.lr', low=0.001, high=0.1, log=True, whole=False, relative=False)
        >>> parse_dimension("training.batch_size", "x0.5,x1", []).values
        (0.5, 1.0)
    """
    if isinstance(value, Mapping):
        return _group(key, value, problems)
    if isinstance(value, str):
        match = _RANGE.fullmatch(value.strip())
        if match is not None:
            return _range(key, match, problems)
        if ".." in value:
            problems.append(f"{key}={value} is no range of numbers; {_ACCEPTED}.")
            return None
        value = _choices(value)
    if not isinstance(value, Sequence) or not value:
        problems.append(f"{key}={value!r} says nothing to search; {_ACCEPTED}.")
        return None
    return _chosen(key, list(value), problems)


def _range(key: str, match: re.Match[str], problems: list[str]) -> Range | None:
    first, low, second, high, log = match.groups()
    if first != second:
        problems.append(f"{key}={match[0]}: write x before both ends of a multiple, or neither.")
        return None
    relative = bool(first)
    whole = not relative and all(end.lstrip("+-").isdigit() for end in (low, high))
    found = Range(key, float(low), float(high), bool(log) or relative, whole, relative)
    return _sound(found, problems)


def _sound(found: Range, problems: list[str]) -> Range | None:
    said = f"{found.key}={found.spell()}"
    if not (math.isfinite(found.low) and math.isfinite(found.high) and found.low < found.high):
        problems.append(f"{said}: the first number must be below the second one.")
    elif found.log and found.low <= 0:
        problems.append(f"{said}: multiples and logarithms need numbers above zero.")
    else:
        return found
    return None


def _group(key: str, value: Mapping[str, Any], problems: list[str]) -> Range | None:
    known = ("low", "high", "log")
    for name in value:
        if name not in known:
            hint = nearest(name, known)
            problems.append(
                f"{key}.{name} does not fit beside low and high."
                + (f" Did you mean {hint!r}?" if hint else "")
            )
            return None
    low, high, log = value.get("low"), value.get("high"), value.get("log", False)
    numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in (low, high))
    if not numbers or low is None or high is None or not isinstance(log, bool):
        problems.append(
            f"{key}={dict(value)!r} does not fit; accepted: low and high as numbers, log as true "
            "or false."
        )
        return None
    whole = isinstance(low, int) and isinstance(high, int)
    return _sound(Range(key, float(low), float(high), log, whole), problems)


def _choices(text: str) -> list[Any]:
    """The values between commas: JSON where they are, else text."""
    try:
        whole: list[Any] = json.loads(f"[{text}]")
        return whole
    except ValueError:
        return [_plain(word.strip()) for word in text.split(",") if word.strip()]


def _plain(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def _chosen(key: str, values: list[Any], problems: list[str]) -> Choices | None:
    multiples = [_MULTIPLE.fullmatch(v) if isinstance(v, str) else None for v in values]
    if all(multiples):
        found = Choices(key, tuple(float(m[1]) for m in multiples if m), relative=True)
        if min(found.values) <= 0:
            problems.append(f"{key}={found.spell()}: multiples must be above zero.")
            return None
    elif any(multiples):
        problems.append(f"{key}: write x before every multiple of the plan, or before none.")
        return None
    else:
        found = Choices(key, tuple(values))
    if len(set(found.labels)) < len(values):
        problems.append(f"{key}={found.spell()} names one choice twice.")
        return None
    return found
