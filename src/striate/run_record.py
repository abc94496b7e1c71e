"""The form of run.json: the parts that commands read of it, each with its type.

A record's digest shows damage, and no more: whoever changes a record can write its digest, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from striate.config import RunConfig
from striate.typed_json import JsonRecord, record_of

_LEAST, _MOST = 1e-6, 1e3
"""Deviations that leave pixels in 0..1 finite numbers after the division."""


@dataclass(frozen=True)
class _Field(JsonRecord):
    kind: str
    names: tuple[str, ...] | None


@dataclass(frozen=True)
class _Leaks(JsonRecord):
    num_test: int
    dropped: Any
    published: Any


@dataclass(frozen=True)
class _Counts(JsonRecord):
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class _Data(JsonRecord):
    title: str
    class_names: tuple[str, ...]
    digest: str
    test_digest: str
    counts: _Counts
    leaks: _Leaks | None
    fields: Mapping[str, _Field] | None


@dataclass(frozen=True)
class _Normalisation(JsonRecord):
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class _Hardware(JsonRecord):
    threads: int | None


@dataclass(frozen=True)
class _Execution(JsonRecord):
    channels_last: bool | None
    precision: str | None
    threads: int | None
    methods: Mapping[str, str] | None
    layers: tuple[str, ...] | None
    compiled: Literal["default", "reduce-overhead"] | None
    origin: str | None


@dataclass(frozen=True)
class _Choice(JsonRecord):
    what: str
    value: str
    why: str


@dataclass(frozen=True)
class _Record(JsonRecord):
    hash: str
    created: str
    config: RunConfig
    choices: tuple[_Choice, ...]
    data: _Data
    normalisation: _Normalisation
    num_parameters: int
    hardware: _Hardware
    execution: _Execution | None
    facts: Mapping[str, Any] | None
    versions: Mapping[str, Any]


def require_form(record: Mapping[str, Any]) -> None:
    """Refuse a run's record whose parts have other types than commands expect.

    Raises:
        ValueError: all parts that do not fit, together.
    """
    known = record_of(_Record, record)
    mean, std = known.normalisation.mean, known.normalisation.std
    channels = known.config.data.channels
    in_range = all(0 <= m <= 1 for m in mean) and all(_LEAST <= s <= _MOST for s in std)
    if not (len(mean) == len(std) == channels and in_range):
        raise ValueError(
            f"normalisation must have, for each of {channels} channels, a mean from 0 to 1 and a "
            f"deviation from {_LEAST:g} to {_MOST:g}"
        )
