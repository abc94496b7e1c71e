"""The resolved description of one training: frozen dataclasses that go to JSON and back.

`RunConfig` says everything that a training follows; its hash names the run. A person gives
settings for a few of its fields (`network.depth=32`), the planner fills in the rest.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from striate.errors import ConfigError, nearest
from striate.registry import Pick

__all__ = [
    "DataConfig",
    "ExecutionConfig",
    "PretrainedConfig",
    "RunConfig",
    "Settings",
    "TrainingConfig",
    "merge",
    "parse_assignments",
    "unknown_settings",
]

Settings = dict[str, Any]
"""Nested settings of a person: {"network": {"name": "resnet", "depth": 32}, ...}."""

C = TypeVar("C")


@dataclass(frozen=True)
class DataConfig:
    """What is learned from, and how an image becomes an array."""

    source: str
    """A folder, an archive, or the name of a data set."""
    input_size: tuple[int, int]
    """Height and width that the network sees, pixels."""
    channels: Literal[1, 3]
    """1: grey, 3: RGB."""
    fit: Literal["crop", "squash", "pad"] = "crop"
    """How an image of another shape is fitted: crop its centre, squash it, or pad it."""
    validation_fraction: float = 0.1
    """Share of the development images kept for validation when the source names none."""
    test_fraction: float = 0.2
    """Share of all images sealed as the test split when the source names none."""
    split_seed: int = 0
    """Seed of the splits; separate from the training's seed, so that runs stay comparable."""
    strict: bool = False
    """Refuse a set with broken files instead of going on without them."""


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how. At least one of `epochs`, `steps` and `minutes`; the shortest holds."""

    batch_size: int
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    clip_norm: float | None = None
    """Largest norm of the whole gradient; None leaves it alone."""
    ema_half_life: float | None = None
    """Half-life of the average of weights, as a share of the training; None: no average."""
    validations: int = 10
    """How many times the validation error is measured, at even distances."""
    checkpoints: int = 20
    """How many checkpoints are written, at even distances."""
    tensorboard: bool = False
    """Write TensorBoard event files beside events.jsonl."""


@dataclass(frozen=True)
class ExecutionConfig:
    """On what and how the arithmetic runs; none of it changes what is computed."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; None: torch's own choice."""
    channels_last: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs matrix products in mixed precision where the hardware has it."""


@dataclass(frozen=True)
class PretrainedConfig:
    """Published weights that a training starts from."""

    name: str
    """Their name in the table of published weights."""
    file: str
    """Where they were read; needed for the first step only."""
    sha256: str
    """Digest of the file's content."""
    mean: tuple[float, float, float]
    """Subtracted from red, green, blue in 0..1, as the weights expect."""
    deviation: tuple[float, float, float]
    """Divides what is left."""
    freeze: float = 0.3
    """Share of the training in which only the last layer learns; 1: all of it."""
    feature_rate: float = 0.1
    """Learning rate of the other layers, as a share of the last layer's."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that one training follows."""

    data: DataConfig
    network: Pick
    loss: Pick
    optimiser: Pick
    schedule: Pick
    augmentation: tuple[Pick, ...]
    training: TrainingConfig
    task: Pick = field(default_factory=lambda: Pick("classification"))
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    pretrained: PretrainedConfig | None = None

    def to_json(self) -> dict[str, Any]:
        """The config as JSON values."""
        encoded: dict[str, Any] = _encode(self)
        if self.pretrained is None:  # left out, so that a run from scratch keeps its hash
            del encoded["pretrained"]
        return encoded

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "RunConfig":
        """The config from JSON values.

        Raises:
            ConfigError: every unknown, missing or ill-typed field, together.
        """
        problems: list[str] = []
        config: RunConfig = _decode(cls, value, "", problems)
        if not problems:
            problems += _range_problems(config)
        if problems:
            raise ConfigError(problems)
        return config

    @property
    def hash(self) -> str:
        """The first 12 hexadecimal digits of SHA-256 over the canonical JSON."""
        typed = RunConfig.from_json(self.to_json())  # 40 epochs are 40.0 epochs
        canonical = json.dumps(typed.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


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
        if not separator or not path.strip():
            problems.append(f"--set {word!r}: expected key=value, for example network.depth=32.")
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        nested: Any = value
        for key in reversed(path.strip().split(".")):
            nested = {key: nested}
        if path.strip() in _PICKS and isinstance(value, str):
            nested = {path.strip(): {"name": value}}
        settings = merge(settings, nested)
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


def unknown_settings(settings: Mapping[str, Any]) -> list[str]:
    """Problems of a person's settings that show before anything is planned: unknown fields."""
    problems: list[str] = []
    hints = typing.get_type_hints(RunConfig)
    for key, value in settings.items():
        if key not in hints:
            problems.append(_unknown_field(key, hints))
        elif dataclasses.is_dataclass(hints[key]):
            fields = typing.get_type_hints(hints[key])
            if not isinstance(value, Mapping):
                problems.append(f"{key!r} is a group of settings; write {key}.NAME=VALUE.")
                continue
            problems += [
                _unknown_field(f"{key}.{name}", [f"{key}.{known}" for known in fields])
                for name in value
                if name not in fields
            ]
    return problems


_PICKS = ("network", "loss", "optimiser", "schedule", "task")


def _unknown_field(name: str, known: Iterable[str]) -> str:
    names = list(known)
    suggestion = nearest(name, names)
    hint = f" Did you mean {suggestion!r}?" if suggestion else ""
    return f"There is no setting {name!r}.{hint} Accepted: {', '.join(names)}."


def _encode(value: Any) -> Any:
    if isinstance(value, Pick):
        return {key: _encode(item) for key, item in value.to_json().items()}
    if dataclasses.is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_encode(item) for item in value]
    return value


def _decode(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """`value` as an instance of the annotated type `kind`; what does not fit is a problem."""
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
            return tuple(_decode(arguments[0], item, path, problems) for item in value)
        if len(value) == len(arguments):
            pairs = zip(arguments, value, strict=True)
            return tuple(_decode(inner, item, path, problems) for inner, item in pairs)
    elif origin is Literal and value in arguments:
        return value
    elif origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = next(item for item in arguments if item is not type(None))
        return _decode(inner, value, path, problems)
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif kind in (int, bool, str) and type(value) is kind:
        return value
    problems.append(f"{path}={value!r} does not fit; accepted: {_spell(kind)}.")
    return None


def _decode_group(kind: type[C], value: Any, path: str, problems: list[str]) -> C | None:
    if not isinstance(value, Mapping):
        problems.append(f"{path or 'the configuration'} must be a group of settings.")
        return None
    hints = typing.get_type_hints(kind)
    prefix = f"{path}." if path else ""
    before = len(problems)
    problems += [
        _unknown_field(prefix + key, [prefix + known for known in hints])
        for key in value
        if key not in hints
    ]
    filled: dict[str, Any] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if item.name in value:
            filled[item.name] = _decode(
                hints[item.name], value[item.name], prefix + item.name, problems
            )
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            problems.append(f"The setting {prefix + item.name!r} is missing.")
    return kind(**filled) if len(problems) == before else None


def _spell(kind: Any) -> str:
    """How an annotated type is written for a person."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(repr(item) for item in arguments)
    if origin is tuple:
        return f"a list of {_spell(arguments[0])}"
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return plain.get(kind, getattr(kind, "__name__", str(kind)))


def _range_problems(config: RunConfig) -> list[str]:
    training, data = config.training, config.data
    lengths = {
        "epochs": training.epochs,
        "steps": training.steps,
        "minutes": training.minutes,
    }
    given = [name for name, value in lengths.items() if value is not None]
    checks = [
        (bool(given), "Give at least one of training.epochs, training.steps, training.minutes."),
        (all((lengths[name] or 0) > 0 for name in given), f"{given} must be above zero."),
        (training.batch_size >= 1, f"training.batch_size={training.batch_size} must be 1 or more."),
        (
            training.validations >= 1 and training.checkpoints >= 1,
            "training.validations and training.checkpoints must be 1 or more.",
        ),
        (training.seed >= 0, f"training.seed={training.seed} must be 0 or more."),
        (
            training.clip_norm is None or training.clip_norm > 0,
            f"training.clip_norm={training.clip_norm} must be above zero.",
        ),
        (
            training.ema_half_life is None or training.ema_half_life > 0,
            f"training.ema_half_life={training.ema_half_life} must be above zero.",
        ),
        (min(data.input_size) >= 1, f"data.input_size={data.input_size} must be 1 or more."),
        (
            0 < data.validation_fraction < 1 and 0 < data.test_fraction < 1,
            "data.validation_fraction and data.test_fraction must lie between 0 and 1.",
        ),
    ]
    if config.pretrained is not None:
        checks += _pretrained_checks(config.pretrained)
    return [problem for holds, problem in checks if not holds]


def _pretrained_checks(pretrained: PretrainedConfig) -> list[tuple[bool, str]]:
    return [
        (
            0 <= pretrained.freeze <= 1,
            f"pretrained.freeze={pretrained.freeze} must lie between 0 and 1: the share of the "
            "training in which only the last layer learns.",
        ),
        (
            0 < pretrained.feature_rate <= 1,
            f"pretrained.feature_rate={pretrained.feature_rate} must be above 0 and at most 1.",
        ),
    ]
