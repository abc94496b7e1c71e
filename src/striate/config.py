"""The resolved description of one training: frozen dataclasses that go to JSON and back.

`RunConfig` says everything that a training follows; its hash names the run. A person gives
settings for a few of its fields (settings.py), the planner fills in the rest.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from striate.errors import ConfigError
from striate.registry import Pick
from striate.typed_json import decode, encode

_LATER = {"left_out": True}
"""Marks a field that earlier versions did not have: its default is left out of the JSON, so that
an older run keeps its hash."""


@dataclass(frozen=True)
class DataConfig:
    """The data of a training, and how an image becomes an array."""

    source: str
    """A folder, an archive, or the name of a data set."""
    input_size: tuple[int, int]
    """Height and width that the network sees, pixels."""
    channels: Literal[1, 3]
    """1: grey, 3: RGB."""
    fit: Literal["crop", "squash", "pad"] = "crop"
    """How an image of another shape is fitted: crop its centre, squash it, or pad it."""
    validation_fraction: float | None = None
    """Share of the development images kept for validation when the source names none; None: a
    tenth, of more than 25,000 images 2,500, and never less than a hundredth."""
    validation: Literal["apart", "in turn"] = field(default="apart", metadata=_LATER)
    """apart: some images are kept from the training, to validate it. in turn: all are learned from,
    and each is predicted by a last layer that was solved without it, for pretrained.head=solved
    with pretrained.freeze=1."""
    test_fraction: float = 0.2
    """Share of all images sealed as the test split when the source names none."""
    split_seed: int = 0
    """Seed of the splits; separate from the training's seed, so that runs stay comparable."""
    strict: bool = False
    """Refuse a set with broken files instead of leaving them out."""
    streaming: bool = field(default=False, metadata=_LATER)
    """Decode each image whenever it is needed, for sets whose decoded form the disk cannot hold;
    nothing but names and digests stays in the cache."""
    leaks: Literal["stop", "allow", "drop"] = field(default="stop", metadata=_LATER)
    """What to do about near-duplicates of test images in the other splits: stop, continue with
    them, or continue without them."""
    groups: str | None = field(default=None, metadata=_LATER)
    """Pattern of the group in the names of the images; no split divides a group: "*/GROUP/*";
    None: the column "group" of a list, if it has one."""
    target_pattern: str | None = field(default=None, metadata=_LATER)
    """Pattern of what the names of the files say of their images: "*_{age}_*.jpg"; None: class
    folders, or the columns of a list, say it."""
    bits: int = field(default=16, metadata=_LATER)
    """Bits that the values of 16-bit pictures fill: 12, as many cameras count; their largest value
    is white."""
    limit: int | None = field(default=None, metadata=_LATER)
    """Largest number of images to take outside a declared test split, for a quick try; None: all
    of them."""
    folds: int | None = field(default=None, metadata=_LATER)
    """Number of folds of all images outside the test split; one is the validation split; None:
    no folds, the source or `validation_fraction` decides."""
    fold: int = field(default=0, metadata=_LATER)
    """Index of the validation fold, from 0."""
    fold_seed: int = field(default=0, metadata=_LATER)
    """Seed of the folds; another one divides anew."""


@dataclass(frozen=True)
class TrainingConfig:
    """Length and course. At least one of `epochs`, `steps` and `minutes`; the shortest holds."""

    batch_size: int
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    micro_batch: int | None = field(default=None, metadata=_LATER)
    """Items of a batch that are computed at once, their gradients added up; None: all."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient; None leaves it alone."""
    ema_half_life: float | None = None
    """Half-life of the average of weights, as a share of the training; None: no average."""
    small_share: float = 0.0
    """Share of the training, from its start, in which images are shown smaller."""
    small_scale: float = 0.5
    """Sides of the smaller images, as a share of the input size."""
    validations: int = 10
    """Number of validations, at even distances."""
    checkpoints: int = 20
    """Number of checkpoints, at even distances."""
    flow: bool = field(default=False, metadata=_LATER)
    """Write at each validation how signals and gradients pass through the layers, and histograms of
    the weights, into events.jsonl; `striate see RUN flow,weights` draws them."""
    tensorboard: bool = False
    """Write TensorBoard event files beside events.jsonl."""


@dataclass(frozen=True)
class ExecutionConfig:
    """Device and way of the arithmetic, which changes the rounding of what is computed only.

    What is None is chosen: by shapes, or by measuring where the clock ends the training.
    """

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads."""
    channels_last: bool | None = None
    """Images in memory with the channels of a pixel side by side."""
    precision: Literal["float32", "tf32", "bfloat16", "auto"] = "float32"
    """tf32 and bfloat16 round what is multiplied to 10 and 7 bits, where the hardware has it;
    auto allows both, if they are measured to be faster."""
    exact: bool = field(default=False, metadata=_LATER)
    """torch's own operators throughout, bit for bit."""
    kernels: bool | None = field(default=None, metadata=_LATER)
    """Striate's own operators: False: none; True: wherever they fit."""
    compile: bool | None = field(default=None, metadata=_LATER)
    """torch.compile."""


@dataclass(frozen=True)
class PretrainedConfig:
    """Published weights that a training starts from."""

    name: str
    """Name in the table of published weights."""
    file: str
    """Path at which they were read; needed for the first step only."""
    sha256: str
    """Digest of the file's content."""
    mean: tuple[float, float, float]
    """Mean that is subtracted from red, green, blue in 0..1, as the weights expect."""
    deviation: tuple[float, float, float]
    """Deviation that divides the rest."""
    freeze: float = 0.3
    """Share of the training in which only the last layer learns; 1: all of it."""
    feature_rate: float = 0.01
    """Learning rate of the other layers, as a share of the last layer's."""
    head: Literal["zero", "solved"] = field(default="zero", metadata=_LATER)
    """The new last layer at the first step: zero, or solved to its optimum on the features."""
    averages: Literal["adapted", "held"] = field(default="adapted", metadata=_LATER)
    """Averages of the normalisations once the other layers learn: of the batches, or held as they
    were published."""


@dataclass(frozen=True)
class PredictionConfig:
    """Views of an image over which the outputs of a prediction are averaged."""

    mirrored: bool = False
    """Whether the mirror image is a view, too."""
    shift: int = 0
    """Pixels by which further views are moved along both diagonals; 0: not moved."""
    zoom: float | None = field(default=None, metadata=_LATER)
    """Share of the sides of the centre that further views show at the whole size; None: none."""


_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "must be above zero": (
        lambda value: value > 0,
        "training.epochs training.steps training.minutes training.clip_norm training.ema_half_life",
    ),
    "must be 0 or more": (lambda value: value >= 0, "training.seed data.fold_seed"),
    "must be 1 or more": (
        lambda value: value >= 1,
        "training.batch_size training.micro_batch training.validations training.checkpoints "
        "execution.threads data.limit",
    ),
    "must be 2 or more": (lambda value: value >= 2, "data.folds"),
    "must be from 1 to 16": (lambda value: 1 <= value <= 16, "data.bits"),
    "must be at least 0 and below 1": (lambda value: 0 <= value < 1, "training.small_share"),
    "must lie between 0 and 1": (
        lambda value: 0 < value < 1,
        "data.validation_fraction data.test_fraction",
    ),
    "must be above 0 and at most 1": (
        lambda value: 0 < value <= 1,
        "training.small_scale pretrained.feature_rate",
    ),
    "must lie between 0 and 1: the share of the training in which only the last layer learns": (
        lambda value: 0 <= value <= 1,
        "pretrained.freeze",
    ),
}
"""Accepted values, whether one is among them, and the settings that must have such values."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that one training follows."""

    data: DataConfig
    network: Pick
    """The network, or the first of several."""
    loss: Pick
    optimiser: Pick
    schedule: Pick
    augmentation: tuple[Pick, ...]
    training: TrainingConfig
    task: Pick = field(default_factory=lambda: Pick("classification"))
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    prediction: PredictionConfig = field(default=PredictionConfig(), metadata=_LATER)
    pretrained: PretrainedConfig | None = field(default=None, metadata=_LATER)
    networks: Mapping[str, Pick] = field(default_factory=dict)
    """Further networks by name, for tasks that train several (a critic beside a generator)."""

    @property
    def picks(self) -> dict[str, Pick]:
        """All networks by name, the first under "network"."""
        return {"network": self.network, **self.networks}

    def to_json(self) -> dict[str, Any]:
        """The config as JSON values."""
        encoded: dict[str, Any] = encode(self)
        if not self.networks:  # as `_LATER`, whose default cannot be a dictionary
            del encoded["networks"]
        return encoded

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "RunConfig":
        """The config from JSON values.

        Raises:
            ConfigError: every unknown, missing or ill-typed field, together.
        """
        problems: list[str] = []
        config: RunConfig = decode(cls, value, "", problems)
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


def _range_problems(config: RunConfig) -> list[str]:
    training, data = config.training, config.data
    lengths = (training.epochs, training.steps, training.minutes)
    problems = []
    if lengths == (None, None, None):
        problems.append("Give at least one of training.epochs, training.steps, training.minutes.")
    for accepted, (holds, paths) in _RANGES.items():
        for path in paths.split():
            group, name = path.split(".")
            value = getattr(getattr(config, group), name, None)
            if value is not None and not holds(value):
                shown = f"{value:g}" if isinstance(value, float) else value
                problems.append(f"{path}={shown} {accepted}.")
    checks = [
        (
            not (config.execution.exact and config.execution.kernels),
            "execution.exact=true asks for torch's own operators and execution.kernels=true for "
            "Striate's; give one of them.",
        ),
        (
            0 <= config.prediction.shift < min(data.input_size),
            f"prediction.shift={config.prediction.shift} must be 0 or more and below the side of "
            "the images.",
        ),
        (
            config.prediction.zoom is None or 0 < config.prediction.zoom < 1,
            f"prediction.zoom={config.prediction.zoom} must be between 0 and 1: the share of the "
            "sides that is seen enlarged.",
        ),
        (min(data.input_size) >= 1, f"data.input_size={data.input_size} must be 1 or more."),
        (
            0 <= data.fold < (data.folds or 1),
            f"data.fold={data.fold} must be from 0 to one less than data.folds={data.folds}.",
        ),
    ]
    return problems + [problem for holds, problem in checks if not holds]
