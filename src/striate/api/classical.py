"""Training without descent: a classical predictor in a run's folder, with all that a run has."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from striate.api.frame import conclude, describe
from striate.api.run import Run
from striate.classical import PREDICTORS, Learned, Predictor
from striate.config import RunConfig
from striate.data import Dataset, Normalisation, Source, Survey, open_source, survey
from striate.data.locate import placed
from striate.errors import ConfigError
from striate.execution import Execution
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.settings import Settings, merge
from striate.tasks.classification import Classification
from striate.tasks.classification.classical import ClassicalModel
from striate.tasks.classification.neighbours import write_neighbours
from striate.terminal import Reporter
from striate.training.assemble import data_shape
from striate.training.events import EventLog
from striate.training.planner import Choice
from striate.training.planner.draft import Draft

__all__ = ["fit", "is_classical", "plan", "refit"]

_NOTHING: Settings = {
    "loss": {"name": "none"},
    "optimiser": {"name": "none"},
    "schedule": {"name": "none"},
    "augmentation": [],
    "training": {"batch_size": 1, "epochs": 1.0},
}
"""What a configuration says where there is no descent."""


def is_classical(network: object) -> bool:
    """Whether the settings of a network, or its name, name a classical predictor."""
    name = network.get("name") if isinstance(network, dict) else network
    return name in PREDICTORS


def plan(data: str | Path, asked: Settings) -> tuple[RunConfig, list[Choice], Source]:
    """The configuration of a classical predictor's fit, its reasons, and the opened source.

    Args:
        data: path or name.
        asked: checked settings, with the predictor's name as that of the network.

    Raises:
        ConfigError: settings that only a network has, or that do not fit.
        DataError: as for any training.
    """
    _check(asked)
    source = open_source(str(data))
    config, choices = _plan(placed(str(data)), survey(source), asked)
    return config, choices, source


def fit(
    folder: RunFolder,
    config: RunConfig,
    choices: list[Choice],
    data: Dataset,
    reporter: Reporter,
    began: float,
) -> Run:
    """Fit a predictor on the training images and return its run.

    Args:
        folder: of the run, claimed.
        config, choices: of `plan`.
        data: to learn from.
        reporter: is told what happens.
        began: `time.monotonic()` when it began.
    """
    learned = _learn(config, data, reporter)
    best = ", ".join(learned.chosen)
    reporter.say(f"Chosen on the validation images: {best}.")
    channels = config.data.channels
    folder.create(
        describe(
            config,
            [*choices, Choice("chosen", best, "fewest wrong answers on the validation images")],
            data,
            normalise=Normalisation((0.0,) * channels, (1.0,) * channels),
            num_parameters=sum(array.size for array in learned.arrays.values()),
            execution=Execution.of(config.execution),
        )
    )
    return _finish(folder, config, data, learned, reporter, began)


def refit(folder: RunFolder, config: RunConfig, data: Dataset, reporter: Reporter) -> Run:
    """Fit anew what was killed while its folder was written; the same comes of it."""
    began = time.monotonic()
    return _finish(folder, config, data, _learn(config, data, reporter), reporter, began)


def _check(asked: Settings) -> None:
    """Tell all settings that a predictor without descent cannot follow."""
    name = asked["network"]["name"]
    unsuited = [key for key in asked if key not in ("data", "network", "training")]
    unsuited += [f"training.{key}" for key in asked.get("training", {}) if key != "seed"]
    problems = [f"{name} is fitted in one piece: leave out {key}." for key in unsuited]
    problems += PREDICTORS.problems(Pick.from_json(asked["network"]))
    if problems:
        raise ConfigError(problems)


def _plan(source: str, look: Survey, asked: Settings) -> tuple[RunConfig, list[Choice]]:
    predictor = PREDICTORS.build(Pick.from_json(asked["network"]))
    draft = Draft(asked)
    name = asked["network"]["name"]
    draft.note("predictor", name, PREDICTORS.describe(name))
    height, width = look.heights[1], look.widths[1]
    one_size = look.heights[0] == look.heights[2] and look.widths[0] == look.widths[2]
    seen = predictor.input_size(height, width)
    size = list(seen) if one_size else [min(seen)] * 2
    why = f"median image {height} × {width}; a side of up to {predictor.side} for this predictor"
    draft.decide("data.input_size", "input size", size, why, f"{size[0]} × {size[1]}")
    grey = predictor.grey or look.grey_share == 1.0
    why = "it looks at brightness only" if predictor.grey else "as the images are"
    draft.decide("data.channels", "channels", 1 if grey else 3, why, "grey" if grey else "RGB")
    resolved = merge(merge(_NOTHING, draft.plan), {"data": {"source": source}})
    return RunConfig.from_json(merge(resolved, asked)), draft.choices


def _learn(config: RunConfig, data: Dataset, reporter: Reporter) -> Learned:
    predictor: Predictor = PREDICTORS.build(config.network)
    return predictor.fit(
        (np.asarray(data.train.images[:]), data.train.labels),
        (np.asarray(data.validation.images[:]), data.validation.labels),
        len(data.class_names),
        seed=config.training.seed,
        progress=reporter.progress,
    )


def _finish(
    folder: RunFolder,
    config: RunConfig,
    data: Dataset,
    learned: Learned,
    reporter: Reporter,
    began: float,
) -> Run:
    """Write all that a finished run has."""
    tensors = {k: torch.from_numpy(np.array(array)) for k, array in learned.arrays.items()}
    folder.write_tensors(folder.weights, tensors)
    predictor: Predictor = PREDICTORS.build(config.network)
    nearest: Callable[..., np.ndarray | None] = predictor.nearest
    page = write_neighbours(folder, data, lambda x, n: nearest(x, learned.arrays, n))
    if page is not None:
        reporter.say(f"The nearest training images of validation images: {page}")
    with EventLog(folder.events, (reporter.event,)) as log:
        log.write("finished", step=0, seconds=time.monotonic() - began)
    rows = ClassicalModel(predictor, learned.arrays).rows(data.validation)
    conclude(folder, data, rows, Classification(), data_shape(config, data.fields))
    return Run(folder.path)
