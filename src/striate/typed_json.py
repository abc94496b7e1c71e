"""Dataclasses to JSON values and back; all that does not fit is reported together."""

import dataclasses
import re
import reprlib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from striate.errors import ConfigError, DataError, did_you_mean
from striate.registry import Pick, spell_type

C = TypeVar("C")
_LARGEST = sys.float_info.max


@dataclasses.dataclass(frozen=True)
class JsonRecord:
    """Base of dataclasses that programs write as JSON and read back, perhaps years later.

    The keys are the fields. Keys that are no fields are passed over in reading, and fields that
    an older version did not write are None where their type allows it.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Point(JsonRecord):
        ...     x: float
        ...     label: str | None
        >>> Point(0.5, "a").to_json(), Point.from_json({"x": 1, "old": 2})
        ({'x': 0.5, 'label': 'a'}, Point(x=1.0, label=None))
    """

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {f.name: encode(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_json(cls: type[C], value: Any) -> C:
        """The record back from `to_json`.

        Raises:
            DataError: values that do not fit the fields.
        """
        try:
            return record_of(cls, value)
        except ValueError as error:
            raise DataError(f"This is no {cls.__name__}: {error}") from None


def record_of(kind: type[C], value: Any) -> C:
    """A dataclass from the JSON value of a file that may be damaged; see `reading.reported_as`.

    Raises:
        ValueError: everything that does not fit the fields.
    """
    problems: list[str] = []
    record: C = decode(kind, value, "", problems)
    if problems:
        raise ValueError(" ".join(problems))
    return record


def unknown_field(name: str, known: Iterable[str]) -> str:
    """The sentence for a setting that does not exist."""
    names = list(known)
    hint = did_you_mean(name, names)
    return f"There is no setting {name!r}.{hint} Accepted: {', '.join(names)}."


def encode(value: Any) -> Any:
    """Dataclasses, picks, mappings and tuples as JSON values.

    A field with `left_out` in its metadata is left out where it has its default.
    """
    if isinstance(value, Pick):
        value = value.to_json()
    if isinstance(value, JsonRecord):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): encode(v) for key, v in value.items()}
    if dataclasses.is_dataclass(value):
        return {
            f.name: encode(item)
            for f in dataclasses.fields(value)
            if (item := getattr(value, f.name)) != f.default or not f.metadata.get("left_out")
        }
    if isinstance(value, (tuple, list)):
        # A confusion matrix of a thousand classes is a million numbers.
        plain = all(type(item) in (int, float, str) for item in value)
        return list(value) if plain else [encode(item) for item in value]
    return value


def decode(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """`value` as an instance of the annotated type `kind`; all that does not fit is a problem."""
    if kind is Pick:
        try:
            return Pick.from_json(value)
        except ConfigError as error:
            problems += [f"{path}: {problem}" for problem in error.problems]
            return None
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _decode_group(kind, value, path, problems)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, (list, tuple)):
        if arguments[-1] is Ellipsis:
            if arguments[0] in (int, str) and all(type(item) is arguments[0] for item in value):
                return tuple(value)  # a table of a million counts is read at once
            return tuple(decode(arguments[0], item, path, problems) for item in value)
        if len(value) == len(arguments):
            pairs = zip(arguments, value, strict=True)
            return tuple(decode(inner, item, path, problems) for inner, item in pairs)
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        number = arguments[0] is int
        if not number or all(re.fullmatch(r"-?[0-9]{1,18}", str(key)) for key in value):
            return {
                int(key) if number else key: decode(arguments[1], item, f"{path}.{key}", problems)
                for key, item in value.items()
            }
    elif kind is Any or (origin is Literal and value in arguments):
        return value
    elif origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = next(item for item in arguments if item is not type(None))
        return decode(inner, value, path, problems)
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if -_LARGEST <= value <= _LARGEST:
            return float(value)
    elif kind is int and type(value) is int:
        if -(2**63) <= value < 2**63:
            return value
    elif kind in (bool, str) and type(value) is kind:
        return value
    problems.append(f"{path}={reprlib.repr(value)} does not fit; accepted: {spell_type(kind)}.")
    return None


def _decode_group(kind: type[C], value: Any, path: str, problems: list[str]) -> C | None:
    if not isinstance(value, Mapping):
        problems.append(f"{path or 'the configuration'} must be a group of settings.")
        return None
    hints = typing.get_type_hints(kind)
    is_record = issubclass(kind, JsonRecord)
    if is_record:
        value = {key: item for key, item in value.items() if key in hints}
    prefix = f"{path}." if path else ""
    before = len(problems)
    filled = decode_fields(kind, value, prefix, problems)
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        is_required = is_record or item.default is item.default_factory is dataclasses.MISSING
        if item.name in value or not is_required:
            continue
        if is_record and type(None) in typing.get_args(hints[item.name]):
            filled[item.name] = None
        else:
            problems.append(f"The setting {prefix + item.name!r} is missing.")
    return kind(**filled) if len(problems) == before else None


def decode_fields(
    kind: type[Any], value: Mapping[str, Any], prefix: str, problems: list[str]
) -> dict[str, Any]:
    """The fields of a dataclass that `value` has, decoded; keys that are no fields are problems."""
    hints = typing.get_type_hints(kind)
    fields = {}
    for key, item in value.items():
        if key in hints:
            fields[key] = decode(hints[key], item, prefix + key, problems)
        else:
            problems.append(unknown_field(prefix + key, [prefix + known for known in hints]))
    return fields
