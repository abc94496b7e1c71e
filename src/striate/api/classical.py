"""Classical predictors, fitted into a run's folder with all that a run has."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from striate.api.frame import conclude, describe
from striate.api.run import Run
from striate.classical import PREDICTORS, Predictor
from striate.config import RunConfig
from striate.data import Dataset, ImageSet, Normalisation, Source, open_source, survey
from striate.data.locate import made_absolute
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
from striate.training.planner import Decision
from striate.training.planner.draft import Draft
from striate.training.planner.images import decide_depth, is_one_size

_NOTHING: Settings = {
    "loss": {"name": "none"},
    "optimiser": {"name": "none"},
    "schedule": {"name": "none"},
    "augmentation": [],
    "training": {"batch_size": 1, "epochs": 1.0},
}
"""Configuration of what only networks have."""


def is_classical(network: object) -> bool:
    """Whether the settings of a network, or its name, name a classical predictor."""
    name = network.get("name") if isinstance(network, dict) else network
    return name in PREDICTORS


def plan(data: str | Path, settings: Settings) -> tuple[RunConfig, list[Decision], Source]:
    """The configuration of a classical predictor's fit, its reasons, and the opened source.

    Args:
        data: Path or name.
        settings: Checked settings, with the predictor's name as that of the network.

    Raises:
        ConfigError: settings that only a network has, or that do not fit.
        DataError: as for any training.
    """
    name = settings["network"]["name"]
    unsuited = [key for key in settings if key not in ("data", "network", "training")]
    unsuited += [f"training.{key}" for key in settings.get("training", {}) if key != "seed"]
    problems = [f"{name} is fitted in one piece: leave out {key}." for key in unsuited]
    problems += PREDICTORS.problems(Pick.from_json(settings["network"]))
    if problems:
        raise ConfigError(problems)
    chosen = settings.get("data", {})
    source = open_source(str(data), chosen.get("target_pattern"), chosen.get("limit"))
    surveyed = survey(source)
    predictor = PREDICTORS.build(Pick.from_json(settings["network"]))
    draft = Draft(settings)
    draft.note("predictor", name, PREDICTORS.describe(name))
    height, width = surveyed.heights[1], surveyed.widths[1]
    seen = predictor.input_size(height, width)
    size = list(seen) if is_one_size(surveyed) else [min(seen)] * 2
    why = f"median image {height} × {width}; a side of up to {predictor.side} for this predictor"
    draft.decide("data.input_size", "input size", size, why, f"{size[0]} × {size[1]}")
    grey = predictor.grey or surveyed.grey_share == 1.0
    why = "it looks at brightness only" if predictor.grey else "as the images are"
    draft.decide("data.channels", "channels", 1 if grey else 3, why, "grey" if grey else "RGB")
    decide_depth(draft, surveyed)
    resolved = merge(merge(_NOTHING, draft.plan), {"data": {"source": made_absolute(str(data))}})
    return RunConfig.from_json(merge(resolved, settings)), draft.choices, source


def fit(
    folder: RunFolder,
    config: RunConfig,
    data: Dataset,
    reporter: Reporter,
    *,
    choices: list[Decision] | None = None,
    began: float | None = None,
) -> Run:
    """Fit a predictor on the training images and return its run.

    Args:
        folder: Folder of the run, claimed.
        config: Configuration of `plan`.
        data: Data to learn from.
        reporter: Receives what happens.
        choices: Reasons of `plan`; None: the run was killed while its folder was written, and is
            fitted anew, with the same result.
        began: `time.monotonic()` when it began; None: now.
    """
    began = time.monotonic() if began is None else began
    predictor: Predictor = PREDICTORS.build(config.network)
    learned = predictor.fit(
        _with_targets(data.train),
        _with_targets(data.validation),
        data_shape(config, data.fields).num_outputs,
        seed=config.training.seed,
        progress=reporter.progress,
    )
    if choices is not None:
        best = ", ".join(learned.chosen)
        reporter.say(f"Chosen on the validation images: {best}.")
        channels = config.data.channels
        chosen = Decision("chosen", best, "fewest wrong answers on the validation images")
        record = describe(
            config,
            [*choices, chosen],
            data,
            normalise=Normalisation((0.0,) * channels, (1.0,) * channels),
            num_parameters=sum(array.size for array in learned.arrays.values()),
            execution=Execution.of(config.execution),
        )
        folder.create(record)
    tensors = {k: torch.from_numpy(np.array(array)) for k, array in learned.arrays.items()}
    folder.write_tensors(folder.weights, tensors)
    nearest: Callable[..., np.ndarray | None] = predictor.nearest
    page = write_neighbours(folder, data, lambda x, n: nearest(x, learned.arrays, n))
    if page is not None:
        reporter.say(f"The nearest training images of validation images: {page}")
    with EventLog(folder.events, (reporter.event,)) as log:
        log.write("finished", step=0, seconds=time.monotonic() - began)
    rows = ClassicalModel(predictor, learned.arrays).rows(data.validation)
    conclude(folder, data, rows, Classification(), data_shape(config, data.fields))
    return Run(folder.path)


def _with_targets(split: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(split.images[:]), np.asarray(split.columns["category"])
