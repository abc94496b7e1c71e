"""A run that was trained: what it is, what it answers, how good it is."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from striate.api.answer import Answer, named_images
from striate.api.evidence import calibration_of, promising, proves
from striate.api.report import write_report
from striate.classical import PREDICTORS
from striate.config import RunConfig
from striate.data import BrokenImage, Dataset, ImageSpec, decode_image, prepare
from striate.data.field import Category, Field, field_from_json
from striate.data.loader import Normalisation
from striate.data.locate import is_there, placed
from striate.data.spelling import text_name
from striate.data.streamed import Pixels
from striate.errors import ConfigError, DataError, RunError
from striate.evaluation import (
    Abstention,
    Measures,
    Reading,
    Scaling,
    StoredAnswers,
    abstention,
    adjusted_reading,
    measure,
    open_test,
    opened,
    openings,
    receipts_of,
    record_result,
    save_answers,
    verify,
    wrong_pictures,
)
from striate.execution import Execution
from striate.tasks import Task
from striate.terminal import Reporter
from striate.training.assemble import build_networks, build_task, data_shape, whole
from striate.training.folder import RunFolder
from striate.training.inference import Model, infer

__all__ = ["Evaluation", "Run", "data_of", "evaluate", "load", "recorded_execution"]


@dataclass(frozen=True)
class Evaluation:
    """The measures on the test split, and which opening of it this was."""

    measures: Measures
    opening: int
    findings: tuple[str, ...]
    """What shows that the ledger was altered; empty when it is sound."""
    report: Path
    reading: Reading | None = None
    """The error as it reads after so many openings."""


class Run:
    """A run's folder, opened; the network is read when it is first needed.

    Args:
        path: of the run's folder.
        stopped_by: number of the signal that stopped the training, if one did.
    """

    def __init__(self, path: str | Path, *, stopped_by: int | None = None) -> None:
        self.folder = RunFolder.existing(Path(path))
        self.record = self.folder.record()
        self.config = RunConfig.from_json(self.record["config"])
        self.class_names: tuple[str, ...] = tuple(self.record["class_names"])
        self.stopped_by = stopped_by

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def hash(self) -> str:
        return self.config.hash

    @property
    def is_finished(self) -> bool:
        return self.folder.weights.is_file()

    @property
    def report_path(self) -> Path:
        return self.folder.report

    @property
    def validation(self) -> Measures:
        """The measures on the validation split."""
        report = json.loads(self.folder.report.with_suffix(".json").read_text("utf-8"))
        return Measures.from_json(report["validation"])

    @property
    def test_openings(self) -> int:
        """How often the test split was opened so far, by any run."""
        return opened(self.record["data"]["test_digest"])

    @cached_property
    def normalise(self) -> Normalisation:
        """The preprocessing that the network was trained with."""
        stored = self.record["normalisation"]
        return Normalisation(tuple(stored["mean"]), tuple(stored["std"]))

    @property
    def scaling(self) -> Scaling:
        """The scaling that calibrates the probabilities; none for runs that never fitted one.

        Raises:
            RunError: its file is damaged.
        """
        return calibration_of(self.folder)[0]

    def abstention(self, error: float) -> Abstention:
        """The confidence below which "I do not know" keeps the error of the answers in bounds.

        Proved on the validation images, with 95 % certainty, for images from the same source;
        after `calibrate --classwise` estimated, see `abstention_is_proved`.

        Args:
            error: largest share of wrong answers among those given, between 0 and 1.

        Raises:
            RunError: the training has not ended.
            DataError: an error that the validation images cannot prove.
        """
        if not self.folder.answers.is_file():
            raise RunError(f"{self.path} has no validation answers: its training has not ended.")
        return abstention(*promising(self.folder), error)

    @property
    def abstention_is_proved(self) -> bool:
        """Whether no answer was fitted to the images that `abstention` counts."""
        return proves(self.scaling)

    @cached_property
    def execution(self) -> Execution:
        return Execution.recorded(self.config.execution, recorded_execution(self.record))

    @cached_property
    def network(self) -> Any:
        """The trained network, in eval mode, on the run's device.

        Raises:
            RunError: the training has not ended, or the run has no network.
        """
        if self._is_classical:
            raise RunError(
                f"{self.path} has no network: it is {self.config.network.name}. Choose a run of a "
                "network; predict, evaluate and compare work for both."
            )
        return whole(self.networks)

    @cached_property
    def networks(self) -> nn.ModuleDict:
        """All networks of the task by name, trained; see `network`."""
        weights = self._weights
        networks = self.fresh_networks()
        try:
            whole(networks).load_state_dict(weights)
        except RuntimeError as error:
            raise RunError(
                f"{self.folder.weights} does not hold the weights of this run: {error}"
            ) from error
        placed = {name: self.execution.place(network) for name, network in networks.items()}
        return nn.ModuleDict(placed).eval()

    def fresh_networks(self) -> nn.ModuleDict:
        """The networks of the run as they were before its training."""
        return build_networks(self.config, self.task, data_shape(self.config, self.fields))

    @cached_property
    def task(self) -> Task:
        """The task that the networks serve."""
        return build_task(self.config)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields that an item has beside its image."""
        stored = self.record["data"].get("fields")
        if stored is None:  # runs of before tasks
            return {"category": Category(self.record["class_names"])}
        return {name: field_from_json(value) for name, value in stored.items()}

    @cached_property
    def _weights(self) -> dict[str, Any]:
        return self.folder.read_tensors(self.folder.weights)

    @property
    def _is_classical(self) -> bool:
        return self.config.network.name in PREDICTORS

    @cached_property
    def _respond(self) -> Callable[[Pixels], np.ndarray]:
        """The source of uncalibrated probabilities: the network, or a predictor with its arrays.

        Raises:
            RunError: the training has not ended.
        """
        if self._is_classical:
            arrays = {name: tensor.numpy() for name, tensor in self._weights.items()}
            predictor = PREDICTORS.build(self.config.network)
            return lambda images: predictor.probabilities(np.asarray(images[:]), arrays)
        model = Model(
            self.networks, self.task, self.normalise, self.execution, self.config.prediction
        )
        return lambda images: infer(model, images)["probabilities"]

    def probabilities(self, images: Pixels) -> np.ndarray:
        """Calibrated probabilities (N, K) of images (N, H, W, C) uint8 of the run's input size."""
        return self.scaling(self._respond(images))

    def predict(
        self, images: Any, *, batch_size: int = 256, abstain: float | None = None
    ) -> list[Answer]:
        """Answers for paths, folders, PIL images, NumPy arrays or tensors, one or many.

        Arrays are (H, W), (H, W, C) or, for tensors, also (C, H, W); a number of them may be
        stacked. An image that cannot be read gets an answer with its problem; the others go on.

        Args:
            images: to answer.
            batch_size: how many are decoded and answered at a time.
            abstain: largest error among the answers that are given: where the network is not
                sure enough for it, the answer has no label. See `Run.abstention`.

        Raises:
            RunError: the training has not ended.
            ConfigError: an error that is no share.
            DataError: nothing to predict, or an error that cannot be promised.
        """
        if abstain is not None and not 0 < abstain < 1:
            raise ConfigError(
                f"The error to keep is a share between 0 and 1; {abstain:g} came. 0.05 is one "
                "wrong answer of 20."
            )
        threshold = 0.0 if abstain is None else self.abstention(abstain).threshold
        named = list(named_images(images))
        if not named:
            raise DataError("There is no image to predict; give paths, a folder or arrays.")
        data = self.config.data
        spec = ImageSpec(input_size=data.input_size, channels=data.channels, fit=data.fit)
        answers: list[Answer] = []
        for start in range(0, len(named), batch_size):
            answers += self._answer(named[start : start + batch_size], spec, threshold)
        return answers

    def _answer(
        self, named: Sequence[tuple[str, Any]], spec: ImageSpec, threshold: float
    ) -> list[Answer]:
        def decoded(image: Any) -> np.ndarray | BrokenImage:
            try:
                return decode_image(image, spec)
            except BrokenImage as error:
                return error

        with ThreadPoolExecutor(os.cpu_count() or 1, "striate-decode") as pool:
            # Pillow's images read their file when they are used, and several may share one.
            tasks = [
                None if isinstance(image, Image.Image) else pool.submit(decoded, image)
                for _, image in named
            ]
            found = [
                decoded(image) if task is None else task.result()
                for (_, image), task in zip(named, tasks, strict=True)
            ]
        pixels = [image for image in found if isinstance(image, np.ndarray)]
        rows = iter(self.probabilities(np.stack(pixels)) if pixels else [])
        return [
            Answer(text_name(name), self._ranked(next(rows)), threshold=threshold)
            if isinstance(image, np.ndarray)
            else Answer(text_name(name), None, str(image))
            for (name, _), image in zip(named, found, strict=True)
        ]

    def _ranked(self, row: np.ndarray) -> dict[str, float]:
        order = np.argsort(-row, kind="stable")
        return {self.class_names[k]: float(row[k]) for k in order}

    def evaluate(
        self, *, data: str | Path | None = None, reporter: Reporter | None = None
    ) -> Evaluation:
        """Measure on the sealed test split; the opening is written down first.

        Args:
            data: where the images lie now, if they were moved.
            reporter: is told what happens; None: nobody.

        Raises:
            RunError: the training has not ended, or the data have changed since.
            LedgerError: the ledger cannot be written; the split stays closed.
        """
        respond = self._respond  # fails before the split is opened when the training has not ended
        reporter = reporter or Reporter()
        try:
            found = data_of(self.config, data, self.path, reporter)
        finally:
            reporter.close()
        if found.test.digest != self.record["data"]["test_digest"]:
            raise RunError(
                f"The test images of {found.source} are not those that {self.path} was "
                "split from. Restore them, or train anew."
            )
        opening = open_test(found.test, run_hash=self.hash, run_folder=self.path)
        images = found.test.read(opening)
        given = respond(images.images)
        probabilities = self.scaling(given)
        measures = measure(probabilities, images.labels, self.class_names)
        record_result(opening, measures.headline())
        answers = StoredAnswers(
            given,
            images.labels,
            images.digests,
            images.names,
            "test",
            found.test.digest,
            opening.number,
            wrong_pictures(images.images, probabilities.argmax(axis=1), images.labels),
        )
        save_answers(self.folder.test_answers, answers)
        findings = verify(found.test.digest, receipts_of(self.path)).findings
        write_report(self.folder, found, test=(measures, probabilities, images, opening))
        reading = adjusted_reading(openings(found.test.digest), opened(found.test.digest))
        return Evaluation(measures, opening.number, findings, self.report_path, reading)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def recorded_execution(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a run was executed; of runs that did not write it down, their number of threads."""
    found: Mapping[str, Any] = record.get("execution") or {"threads": record["hardware"]["threads"]}
    return found


def load(path: str | Path) -> Run:
    """The run in a folder.

    Raises:
        RunError: there is none.
    """
    return Run(path)


def evaluate(
    run: Run | str | Path, *, data: str | Path | None = None, reporter: Reporter | None = None
) -> Evaluation:
    """Measure a finished run on its sealed test split; see `Run.evaluate`."""
    opened = run if isinstance(run, Run) else Run(run)
    return opened.evaluate(data=data, reporter=reporter)


def data_of(
    config: RunConfig, moved_to: str | Path | None, run: Path, reporter: Reporter
) -> Dataset:
    """The images that a run was trained on, from where they lay or where they lie now.

    Raises:
        RunError: they are not there.
    """
    place = config.data.source if moved_to is None else placed(str(moved_to))
    if moved_to is None and Path(place).is_absolute() and not is_there(place):
        raise RunError(
            f"The images of {run} lay at {place} and are there no more. Put them back, or name "
            "where they lie now with --data PATH."
        )
    return prepare(replace(config.data, source=place), progress=reporter.progress)
