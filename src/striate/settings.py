"""A person's settings: some of a `RunConfig`'s, nested, to be completed by a planner."""

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from striate.config import RunConfig
from striate.errors import ConfigError
from striate.registry import Pick
from striate.typed_json import decode, decode_fields, encode, unknown_field

Settings = dict[str, Any]
"""Nested settings of a person: {"network": {"name": "resnet", "depth": 32}, ...}."""

_HINTS = typing.get_type_hints(RunConfig)


def nested(path: str, value: Any) -> Settings:
    """{"a": {"b": value}} for the dotted path "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def setting_at(settings: Mapping[str, Any], path: str) -> Any:
    """The setting under a dotted path; None where there is none."""
    value: Any = settings
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def named_pick(group: str, pick: str | Pick, settings: Mapping[str, Any]) -> Pick:
    """A pick with the arguments that settings give to its group.

    Args:
        group: Name of the group: "network".
        pick: Name that was chosen, or a pick with arguments.
        settings: Nested settings.

    Raises:
        ConfigError: settings that choose another name.
    """
    pick = Pick.from_json(pick)
    values = settings.get(group, {})
    if not isinstance(values, Mapping) or values.get("name", pick.name) != pick.name:
        raise ConfigError(f"The {group} is named already: {pick.name!r}.")
    return pick.replace(**{key: value for key, value in values.items() if key != "name"})


def parse_groups(assignments: Iterable[str], groups: Sequence[str]) -> Settings:
    """Nested settings as `parse_assignments` gives them, of some groups alone.

    Raises:
        ConfigError: settings of other groups, all of them together.
    """
    settings = parse_assignments(assignments)
    accepted = " and ".join(f"{group}.*" for group in groups)
    problems = [
        f"There is nothing to set under {name!r}: only {accepted}."
        for name in settings
        if name not in groups
    ]
    if problems:
        raise ConfigError(problems)
    return settings


def parse_assignments(assignments: Iterable[str]) -> Settings:
    """Nested settings from `a.b=value` words; values are JSON where they parse, else text.

    Example:
        >>> parse_assignments(["network.depth=32", "optimiser=adamw"])
        {'network': {'depth': 32}, 'optimiser': {'name': 'adamw'}}

    Raises:
        ConfigError: words without "=", all of them together.
    """
    settings: Settings = {}
    problems = []
    for word in assignments:
        path, separator, text = word.partition("=")
        path = path.strip()
        if not separator or not path:
            problems.append(f"--set {word!r}: expected key=value, for example network.depth=32.")
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if _HINTS.get(path) is Pick and isinstance(value, str):
            value = {"name": value}
        settings = merge(settings, nested(path, value))
    if problems:
        raise ConfigError(problems)
    return settings


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Settings:
    """`base` with the values of `over` laid upon it; a new name of a choice drops the old
    choice's arguments.

    Example:
        >>> merge({"optimiser": {"name": "sgd", "lr": 1}}, {"optimiser": {"name": "adamw"}})
        {'optimiser': {'name': 'adamw'}}
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            renamed = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = dict(value) if renamed else merge(old, value)
        else:
            merged[key] = dict(value) if isinstance(value, Mapping) else value
    return merged


def checked(settings: Mapping[str, Any]) -> Settings:
    """The settings in one form: choices as groups with a name, sizes as pairs.

    Example:
        >>> checked({"network": "resnet", "data": {"input_size": 96}})
        {'network': {'name': 'resnet'}, 'data': {'input_size': [96, 96]}}

    Raises:
        ConfigError: settings that do not exist or whose values do not fit, all together.
    """
    problems: list[str] = []
    uniform: Settings = {}
    for key, value in settings.items():
        if key not in _HINTS:
            problems.append(unknown_field(key, _HINTS))
        elif _HINTS[key] is Pick:
            uniform[key] = _choice(key, value, problems)
        elif dataclasses.is_dataclass(_HINTS[key]):
            uniform[key] = _group(key, _HINTS[key], value, problems)
        else:
            whole = encode(decode(_HINTS[key], value, key, problems))
            is_group = isinstance(whole, dict) and isinstance(value, Mapping)
            # Without the defaults of what was not set: the planner may know better.
            uniform[key] = {k: v for k, v in whole.items() if k in value} if is_group else whole
    if problems:
        raise ConfigError(problems)
    return uniform


def _choice(key: str, value: Any, problems: list[str]) -> Settings:
    """A name with arguments, or arguments alone, whose name is left to the planner."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("name", ""), str):
        return dict(value)
    problems.append(f"{key}={value!r} does not fit; accepted: a name, or {key}.ARGUMENT=VALUE.")
    return {}


def _group(key: str, kind: Any, value: Any, problems: list[str]) -> Settings:
    if not isinstance(value, Mapping):
        problems.append(f"{key!r} is a group of settings; write {key}.NAME=VALUE.")
        return {}
    if key == "data" and "source" in value:
        problems.append("data.source is the DATA of the command; name it there.")
    side = value.get("input_size")
    if key == "data" and type(side) is int:
        value = {**value, "input_size": [side, side]}
    return dict(encode(decode_fields(kind, value, f"{key}.", problems)))
