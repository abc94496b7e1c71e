"""A network trained on arrays in memory: the planner, the parts and the loop of every training."""

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.config import RunConfig
from striate.data import Dataset, ImageSet, SealedSplit, Survey
from striate.data.decode import spec_of
from striate.data.field import Category, Field
from striate.errors import ConfigError, SealedTestError
from striate.estimators.reading import resized
from striate.evaluation.metric import Rows
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.settings import Settings, checked, merge
from striate.tasks import TASKS
from striate.terminal import Reporter
from striate.training import session
from striate.training.assemble import assemble
from striate.training.budget import Clock
from striate.training.events import Event
from striate.training.inference import Model
from striate.training.loop import averaged
from striate.training.planner import Decision, decide
from striate.training.speed import training_speed

_FINISH_SECONDS = 0.2
"""Seconds after the last prediction, for copying the weights."""
_CHECKPOINTS = 4
"""Checkpoints to go back to when a loss is not finite; nothing else is read from them."""
_OF_DATA = ("input_size", "channels", "fit")
"""Settings of the data that mean something for arrays."""


@dataclass(frozen=True)
class Targeted:
    """Images with their targets."""

    images: np.ndarray
    """(N, H, W, C) uint8."""
    targets: np.ndarray
    """(N, ...), such as class indices from 0 to K - 1."""
    field: Field
    """Kind of the targets."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Any) -> "Targeted":
        """Some of the images with their targets."""
        return Targeted(self.images[index], self.targets[index], self.field)


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of images to train on and of those held out, a fixed share of each class.

    A class too small for one image of its share has none held out.

    Args:
        labels: Labels (N,).
        fraction: Share to hold out, at least 0 and below 1.
        seed: Random seed of the choice.

    Raises:
        ConfigError: a share outside that range.

    Example:
        >>> train, held = hold_out(np.repeat([0, 1], [20, 4]), 0.1, seed=0)
        >>> len(train), len(held)
        (22, 2)
    """
    check_fraction(fraction)
    draw = np.random.default_rng(seed)
    held = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        of_class = draw.permutation(np.flatnonzero(labels == label))
        held.append(of_class[: round(fraction * len(of_class))])
    chosen = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def check_fraction(fraction: float) -> None:
    """Refuse a share of held-out images outside its range."""
    if not 0 <= fraction < 1:
        raise ConfigError(f"validation_fraction={fraction} must be at least 0 and below 1.")


def training_settings(
    network: Any, lengths: Mapping[str, float | None], settings: Mapping[str, Any] | None, seed: int
) -> Settings:
    """The estimator's arguments as settings for the planner.

    Args:
        network: Name, {"name": ..., argument: ...}, or None for the planner's choice.
        lengths: Epochs, steps, minutes; None where they are not set.
        settings: Any other setting, nested.
        seed: Random seed of the training.

    Raises:
        ConfigError: settings that do not exist, or that mean nothing for arrays.
    """
    others = dict(settings or {})
    unsuited = [f"data.{key}" for key in others.get("data") or {} if key not in _OF_DATA]
    unsuited += [key for key in ("pretrained", "task") if key in others]
    unsuited += [
        f"training.{key}" for key in others.get("training") or {} if key in (*lengths, "seed")
    ]
    if unsuited:
        raise ConfigError(
            f"settings: {', '.join(unsuited)} cannot be set here. Lengths and random_state are "
            "parameters of the estimator; of the data only input_size, channels and fit are read."
        )
    training = {key: value for key, value in lengths.items() if value is not None}
    base: Settings = {"training": {"checkpoints": _CHECKPOINTS}}
    named = {} if network is None else checked({"network": network})
    own = merge(checked(others), {"training": {**training, "seed": seed}})
    return merge(merge(base, own), named)


def plan(train: Targeted, num_held: int, settings: Settings) -> tuple[RunConfig, list[Decision]]:
    """The configuration of a training, and why: arguments first, the rest by the planner.

    Args:
        train: Images to train on.
        num_held: Number of images held out.
        settings: Settings from `training_settings`.

    Raises:
        ConfigError: settings that do not fit.
    """
    _, height, width, channels = train.images.shape
    few = train.images[:: max(1, len(train.images) // 64)]
    classes = train.field.names if isinstance(train.field, Category) else ()
    counts = train.field.counts(train.targets) if classes else None
    survey = Survey(
        title="arrays",
        class_names=classes,
        num_images=len(train.images) + num_held,
        counts_per_class={
            "train": counts or (len(train),),
            "validation": (num_held,),
            "test": (0,),
        },
        num_sampled=len(train.images),
        heights=(height, height, height),
        widths=(width, width, width),
        grey_share=float((few == few[..., :1]).all(axis=(1, 2, 3)).mean()),
        modes={"L" if channels == 1 else "RGB": len(train.images)},
        formats={"array": len(train.images)},
        num_broken=0,
    )
    task = TASKS.build(Pick.from_json(settings.get("task", "classification")))
    return decide("arrays", survey, settings, training_speed, task)


def train(
    config: RunConfig, train: Targeted, held: Targeted, reporter: Reporter
) -> tuple[Model, int, list[Event], Rows]:
    """Train a network.

    Args:
        config: Configuration from `plan`.
        train: Images to train on.
        held: Images held out; with none, no error is measured on the way.
        reporter: Receives what happens.

    Returns:
        The model on the CPU, its steps, the events of its training, and the rows of the held-out
        images, not calibrated.

    Raises:
        ConfigError, DivergenceError.
    """
    # The loop measures an error at its end; where nothing is held out it is thrown away.
    watched = held if len(held) else train.take(slice(1))
    data = _dataset(config, train, watched)
    parts = assemble(config, data)
    history: list[Event] = []
    with tempfile.TemporaryDirectory(prefix="striate-") as folder:
        result = session.run(
            config,
            data,
            parts,
            RunFolder(Path(folder)),
            clock=Clock(),
            finish=_FINISH_SECONDS,
            listeners=(history.append, reporter.event),
        )
    if result.scores is None:
        raise RuntimeError("a training that nothing interrupts was interrupted")
    with averaged(parts):
        model = replace(parts.model, networks=copy.deepcopy(parts.networks).cpu().eval())
    rows = result.scores.rows.take(np.arange(len(held)))
    if not len(held):
        history = [event for event in history if event["event"] != "validation"]
    return model, result.steps, history, rows


def _dataset(config: RunConfig, train: Targeted, held: Targeted) -> Dataset:
    spec = spec_of(config.data)
    name, fields = train.field.kind, {train.field.kind: train.field}

    def split(of: Targeted) -> ImageSet:
        nameless = ("",) * len(of)
        columns = {name: of.targets}
        return ImageSet(resized(of.images, spec), columns, fields, nameless, nameless)

    def refuse() -> ImageSet:
        raise SealedTestError("Arrays have no test split: nothing but X came.")

    return Dataset(
        title="arrays",
        source="arrays",
        fields=fields,
        spec=spec,
        train=split(train),
        validation=split(held),
        test=SealedSplit("", 0, refuse),
        broken=(),
        notes=(),
        digest="",
        test_origin="held out",
        validation_origin="held out",
        licence=None,
        counts_per_class={},
        split_seed=0,
    )
