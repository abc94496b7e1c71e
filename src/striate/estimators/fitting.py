"""A network trained on arrays in memory: the planner, the parts and the loop of every training."""

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from striate.config import RunConfig
from striate.data import Dataset, ImageSet, ImageSpec, Normalisation, SealedSplit, Survey
from striate.data.field import Category
from striate.errors import ConfigError, SealedTestError
from striate.estimators.reading import resized
from striate.run_folder import RunFolder
from striate.settings import Settings, checked, merge
from striate.terminal import Reporter
from striate.training import session
from striate.training.assemble import assemble
from striate.training.budget import Clock
from striate.training.events import Event
from striate.training.loop import averaged
from striate.training.planner import Decision, decide
from striate.training.speed import training_speed

_FINISH_SECONDS = 0.2
"""After the last answer: copying the weights."""
_CHECKPOINTS = 4
"""To go back to when a loss is not finite; nothing else is read from them."""
_OF_DATA = ("input_size", "channels", "fit")
"""Settings of the data that mean something for arrays."""


@dataclass(frozen=True)
class Labelled:
    """Images with their classes."""

    images: np.ndarray
    """(N, H, W, C) uint8."""
    labels: np.ndarray
    """(N,) from 0 to K - 1."""


@dataclass(frozen=True)
class Answering:
    """The result of a training: all that prediction needs."""

    network: nn.Module
    """In eval mode, on the CPU."""
    normalise: Normalisation
    execution: dict[str, Any]
    facts: Mapping[str, Any]
    """Facts of the training images for the task."""
    steps: int
    history: list[Event]
    probabilities: np.ndarray
    """(N, K) on the held-out images, not calibrated."""


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of images to train on and of those held out, a fixed share of each class.

    A class too small for one image of its share has none held out.

    Args:
        labels: (N,).
        fraction: share to hold out, at least 0 and below 1.
        seed: of the choice.

    Raises:
        ConfigError: a share outside that range.

    Example:
        >>> train, held = hold_out(np.repeat([0, 1], [20, 4]), 0.1, seed=0)
        >>> len(train), len(held)
        (22, 2)
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"validation_fraction={fraction} must be at least 0 and below 1.")
    draw = np.random.default_rng(seed)
    held = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        of_class = draw.permutation(np.flatnonzero(labels == label))
        held.append(of_class[: round(fraction * len(of_class))])
    chosen = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def asked_settings(
    network: Any, lengths: Mapping[str, float | None], settings: Mapping[str, Any] | None, seed: int
) -> Settings:
    """The estimator's arguments as settings for the planner.

    Args:
        network: a name, {"name": ..., argument: ...}, or None for the planner's choice.
        lengths: epochs, steps, minutes; None where nothing was said.
        settings: any other setting, nested.
        seed: of the training.

    Raises:
        ConfigError: settings that do not exist, or that mean nothing for arrays.
    """
    given = dict(settings or {})
    unsuited = [f"data.{key}" for key in given.get("data") or {} if key not in _OF_DATA]
    unsuited += [key for key in ("pretrained", "task") if key in given]
    unsuited += [
        f"training.{key}" for key in given.get("training") or {} if key in (*lengths, "seed")
    ]
    if unsuited:
        raise ConfigError(
            f"settings: {', '.join(unsuited)} cannot be set here. Lengths and random_state are "
            "parameters of the estimator; of the data only input_size, channels and fit are read."
        )
    training = {key: value for key, value in lengths.items() if value is not None}
    base: Settings = {"training": {"checkpoints": _CHECKPOINTS}}
    asked = merge(base, merge(checked(given), {"training": {**training, "seed": seed}}))
    if network is None:
        return asked
    return merge(asked, checked({"network": network}))


def plan(
    train: Labelled, num_held: int, num_classes: int, asked: Settings
) -> tuple[RunConfig, list[Decision]]:
    """The configuration of a training, and why: arguments first, the rest by the planner.

    Args:
        train: images to train on.
        num_held: images held out.
        num_classes: K.
        asked: of `asked_settings`.

    Raises:
        ConfigError: settings that do not fit.
    """
    _, height, width, channels = train.images.shape
    few = train.images[:: max(1, len(train.images) // 64)]
    counts = tuple(np.bincount(train.labels, minlength=num_classes).tolist())
    look = Survey(
        title="arrays",
        class_names=tuple(map(str, range(num_classes))),
        num_images=len(train.images) + num_held,
        counts_per_class={"train": counts, "validation": (num_held,), "test": (0,)},
        num_sampled=len(train.images),
        heights=(height, height, height),
        widths=(width, width, width),
        grey_share=float(np.mean([_is_grey(image) for image in few])),
        modes={"L" if channels == 1 else "RGB": len(train.images)},
        formats={"array": len(train.images)},
        num_broken=0,
    )
    return decide("arrays", look, asked, training_speed)


def _is_grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())


def train(
    config: RunConfig, train: Labelled, held: Labelled, num_classes: int, reporter: Reporter
) -> Answering:
    """Train a network and return what answers.

    Args:
        config: of `plan`.
        train: images to train on.
        held: images held out; with none, no error is measured on the way.
        num_classes: K.
        reporter: is told what happens.

    Raises:
        ConfigError, DivergenceError.
    """
    # The loop measures an error at its end; where nothing is held out it is thrown away.
    watched = held if len(held.labels) else Labelled(train.images[:1], train.labels[:1])
    data = _dataset(config, train, watched, num_classes)
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
        network = copy.deepcopy(parts.whole).cpu().eval()
    rows: Any = result.scores.rows
    probabilities = rows["probabilities"]
    if not len(held.labels):
        probabilities = probabilities[:0]
        history = [event for event in history if event["event"] != "validation"]
    execution = parts.execution.to_json()
    normalise, facts = parts.model.normalise, parts.task.facts
    return Answering(network, normalise, execution, facts, result.steps, history, probabilities)


def _dataset(config: RunConfig, train: Labelled, held: Labelled, num_classes: int) -> Dataset:
    spec = ImageSpec(config.data.input_size, config.data.channels, config.data.fit)
    fields = {"category": Category([str(label) for label in range(num_classes)])}

    def split(of: Labelled) -> ImageSet:
        nameless = ("",) * len(of.labels)
        columns = {"category": of.labels.astype(np.int64)}
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
