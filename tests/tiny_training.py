"""A training of a second: a resnet of eight layers on 48 small images, built as a run builds it."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from striate.config import DataConfig, RunConfig, TrainingConfig
from striate.data import prepare
from striate.registry import Pick
from striate.training.assemble import Parts, assemble
from striate.training.budget import Clock, first_plan, most_steps
from striate.training.checkpoint import CheckpointStore
from striate.training.events import Event, EventLog
from striate.training.inference import infer
from striate.training.loop import Training
from striate.training.step import Outcome, learn

SIDE = 8


def tiny_config(folder: Path, **changed: Any) -> RunConfig:
    """Three classes of 24 images, written to `folder`; normalisation and momentum carry state."""
    source = folder / "images.npz"
    if not source.exists():
        draw = np.random.default_rng(5)
        labels = np.arange(72) % 3
        centres = draw.integers(40, 215, (3, SIDE, SIDE, 3))
        images = (centres[labels] + draw.normal(0, 40, (72, SIDE, SIDE, 3))).clip(0, 255)
        np.savez(source, images=images.astype(np.uint8), labels=labels)
    training = {"batch_size": 8, "steps": 12, "validations": 1, "checkpoints": 3}
    fields: dict[str, Any] = {
        "data": DataConfig(str(source), (SIDE, SIDE), 3),
        "network": Pick("resnet", depth=8),
        "loss": Pick("softmax_cross_entropy"),
        "optimiser": Pick("adamw", lr=0.01),
        "schedule": Pick("linear"),
        "augmentation": (Pick("flip"),),
    }
    given = {name: changed.pop(name) for name in list(changed) if name in fields}
    return RunConfig(**{**fields, **given}, training=TrainingConfig(**{**training, **changed}))


def tiny_training(
    folder: Path, log: EventLog | None = None, *, config: RunConfig | None = None, **changed: Any
) -> Training:
    """A training at its first step, as `train` begins it; `changed` goes into the config.

    Args:
        folder: Where images and checkpoints are written.
        log: Its log; None: one that is written nowhere.
        config: Its whole configuration, instead of the tiny one's.
    """
    config = config or tiny_config(folder, **changed)
    data = prepare(config.data)
    parts = assemble(config, data)
    log = log or EventLog(folder / "events.jsonl")
    store = CheckpointStore(folder / "checkpoints")
    limit = most_steps(config, parts)
    clock = Clock(started=time.monotonic())
    training = Training(config, data, parts, first_plan(limit, None), store, log, clock)
    training.most_steps = limit
    return training


def step(training: Training, number: int, *, decay: float | None = 0.9) -> Outcome:
    """Step `number` of a tiny training of 12 steps."""
    parts: Parts = training.parts
    parts.networks.train()
    return learn(
        parts,
        next(parts.loader),
        step=number,
        progress=number / 12,
        training=training.config.training,
        average_decay=decay,
    )


def predictions(training: Training, **more: Any) -> np.ndarray:
    """Probabilities (N, K) of the validation images."""
    return infer(training.parts.model, training.data.validation.images, **more)["probabilities"]


def labels(training: Training) -> np.ndarray:
    """Labels (N,) of the validation images."""
    return training.data.validation.labels


def listening(folder: Path) -> tuple[EventLog, list[Event]]:
    """A log that is kept in a list."""
    events: list[Event] = []
    return EventLog(folder / "events.jsonl", (events.append,)), events
