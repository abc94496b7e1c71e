"""A trained run: its record, its predictions, its evaluation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import nn

from striate import digests
from striate.api.images import decode_all, named_images, relative_paths
from striate.api.prediction_files import PredictionFiles
from striate.classical import PREDICTORS
from striate.config import RunConfig
from striate.data import BrokenImage, Dataset, ImageSet, ImageSpec, decode_image, prepare
from striate.data.decode import decode_whole, fit_image, spec_of
from striate.data.field import Field, field_from_json
from striate.data.loader import Normalisation
from striate.data.locate import is_there, made_absolute
from striate.data.spelling import text_name
from striate.data.streamed import Pixels
from striate.errors import ConfigError, DataError, MemoryLimitError, RunError, command_line
from striate.evaluation import Abstention, Columns, Scaling, abstention, opened
from striate.execution import Execution
from striate.memory import require_memory
from striate.reading import read_json, reported_as
from striate.run_folder import RunFolder
from striate.tasks import DataShape, Prediction, Task
from striate.tasks.classification import Classification
from striate.tasks.classification.classical import ClassicalModel
from striate.tasks.classification.evidence import calibration_of, promising, proves
from striate.terminal import Reporter
from striate.training.assemble import build_networks, build_task, data_shape, whole
from striate.training.inference import Model, infer
from striate.training.inference import evaluate as evaluate_model

if TYPE_CHECKING:
    from striate.api.evaluation import Evaluation


class Run:
    """A run's folder, opened; the network is read when it is first needed.

    Args:
        path: Path of the run's folder.
        stopped_by: Number of the signal that stopped the training, if one did.
    """

    def __init__(self, path: str | Path, *, stopped_by: int | None = None) -> None:
        self.folder = RunFolder.existing(Path(path))
        self.record = self.folder.record()
        with reported_as(RunError, f"{self.folder.path / 'run.json'} cannot be read"):
            self.config = RunConfig.from_json(self.record["config"])
            self.class_names: tuple[str, ...] = tuple(self.record["data"]["class_names"])
            self.fields = recorded_fields(self.record)
            """The fields that an item has beside its image."""
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
    def validation(self) -> Any:
        """The figures of the validation split; of classification, its `ClassificationMetrics`.

        Raises:
            RunError: the file of figures is damaged.
        """
        path, again = self.folder.figures, f"Make it again: {command_line('resume', self.path)}"
        digests.require(path, again)
        with reported_as(RunError, f"{path} cannot be read", f"Remove it. {again}"):
            return self.task.figures_from_json(read_json(path)["validation"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what cannot be checked of this run."""
        return self.folder.notes

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
        """The calibration of a classifier; runs that never fitted one have none.

        Raises:
            RunError: its file is damaged.
        """
        return calibration_of(self.folder)[0]

    def abstention(self, error: float) -> Abstention:
        """The confidence below which "I do not know" keeps the error of the others in bounds.

        Proved on the validation images, with 95 % certainty, for images from the same source;
        after `calibrate --classwise` estimated, see `abstention_is_proved`.

        Args:
            error: Largest share of wrong predictions among those made, between 0 and 1.

        Raises:
            RunError: the training has not ended.
            DataError: an error that the validation images cannot prove.
        """
        if not isinstance(self.task, Classification):
            raise RunError(
                f"{self.path}: the predictions of this task have no confidence to abstain by."
            )
        self.folder.require(self.folder.predictions)
        return abstention(*promising(self.folder), error)

    @property
    def abstention_is_proved(self) -> bool:
        """Whether nothing was fitted to the images that `abstention` counts."""
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
        for network in networks.values():
            self.execution.place(network)
        return networks.eval()

    def fresh_networks(self) -> nn.ModuleDict:
        """The networks of the run as they were before its training."""
        return build_networks(self.config, self.task, self.shape)

    @cached_property
    def task(self) -> Task:
        """The task that the networks serve."""
        if self._is_classical:
            return Classification()
        return build_task(self.config, self.record.get("facts"))

    @cached_property
    def shape(self) -> DataShape:
        """The fields of an item, and the form of the images that the networks take."""
        return data_shape(self.config, self.fields)

    @cached_property
    def _weights(self) -> dict[str, Any]:
        return self.folder.read_tensors(self.folder.weights)

    @property
    def _is_classical(self) -> bool:
        return self.config.network.name in PREDICTORS

    @cached_property
    def _model(self) -> Model | ClassicalModel:
        """The trained networks, or a predictor with its arrays.

        Raises:
            RunError: the training has not ended.
        """
        if self._is_classical:
            arrays = {name: tensor.numpy() for name, tensor in self._weights.items()}
            return ClassicalModel(PREDICTORS.build(self.config.network), arrays)
        views = self.config.prediction
        return Model(self.networks, self.task, self.normalise, self.execution, views)

    def outputs(self, images: Pixels) -> dict[str, np.ndarray]:
        """Calibrated predictions (N, ...) of images (N, H, W, C) uint8 of the run's input size."""
        model = self._model
        raw = model.infer(images) if isinstance(model, ClassicalModel) else infer(model, images)
        return self.task.adjusted(self.folder, raw)

    def probabilities(self, images: Pixels) -> np.ndarray:
        """Calibrated probabilities (N, K) of images (N, H, W, C) uint8 of the run's input size."""
        return self.outputs(images)["probabilities"]

    def rows(self, split: ImageSet, progress: Callable[[int, int], None] | None = None) -> Columns:
        """The rows of a split, before calibration.

        Args:
            split: Items with their targets.
            progress: Receives how many of how many are done.
        """
        model = self._model
        if isinstance(model, ClassicalModel):
            return model.rows(split)
        rows: Any = evaluate_model(model, split, self.shape, progress=progress).rows
        return cast(Columns, rows)

    def predict(
        self,
        images: Any,
        *,
        batch_size: int = 256,
        abstain: float | None = None,
        out: str | Path | None = None,
        overlays: bool = False,
    ) -> list[Prediction]:
        """Predictions for paths, folders, PIL images, NumPy arrays or tensors, one or many.

        Arrays are (H, W), (H, W, C) or, for tensors, also (C, H, W); a number of them may be
        stacked. Of a folder those files are predicted that a training would see. An image or a
        folder that cannot be read gets a prediction with its problem, and the others are
        predicted.

        Args:
            images: Images to predict.
            batch_size: Number of images that are decoded and predicted at a time.
            abstain: Largest error among the predictions that have a label: where the network is
                not sure enough for it, there is none. See `Run.abstention`.
            out: Folder for predictions.json and the files of the predictions, where their task
                has such; none is written over another. None: no files.
            overlays: Whether `out` also gets a picture of each prediction on its image.

        Raises:
            RunError: the training has not ended.
            ConfigError: an error that is no share, or files that exist already.
            DataError: nothing to predict, or an error that cannot be promised.
        """
        if abstain is not None and not 0 < abstain < 1:
            raise ConfigError(
                f"The error to keep is a share between 0 and 1; {abstain:g} came. 0.05 is one "
                "wrong prediction of 20."
            )
        options = {} if abstain is None else {"threshold": self.abstention(abstain).threshold}
        named = named_images(images)
        if not named:
            raise DataError("There is no image to predict; give paths, a folder or arrays.")
        if overlays and out is None:
            raise ConfigError("Pictures of predictions need a folder: give --out FOLDER, too.")
        files = None
        if out is not None:
            paths = relative_paths(images, named)
            files = PredictionFiles(Path(out), self.task, self.shape, paths, overlays=overlays)
        batch_size = 1 if self.task.sees_whole else batch_size
        predictions: list[Prediction] = []
        for start in range(0, len(named), batch_size):
            some = named[start : start + batch_size]
            decoded = self._decoded([image for _, image in some])
            names = [text_name(name) for name, _ in some]
            predictions += self._predict(names, decoded, options)
            for index, image in enumerate(decoded, start):
                if files is not None and isinstance(image, np.ndarray):
                    files.write(index, predictions[index], image)
        if files is not None:
            files.finish(predictions, run=str(self.path))
        return predictions

    def _decoded(self, images: Sequence[Any]) -> list[np.ndarray | BrokenImage]:
        spec = spec_of(self.config.data)
        if self.task.sees_whole:
            return decode_all(self._decoded_whole, images)
        return decode_all(lambda image: decode_image(image, spec), images)

    def _decoded_whole(self, image: Any) -> np.ndarray:
        """An image at its own size.

        Raises:
            BrokenImage: it cannot be read, or maps of its size would take too much memory.
        """
        pixels = decode_whole(image, spec_of(self.config.data))
        height, width = pixels.shape[:2]
        # A map of scores for each class in four bytes, and the numbers of the best classes.
        needed = height * width * (4 * self.shape.num_outputs + 9)
        try:
            require_memory(needed, f"Predicting {width} × {height} pixels")
        except MemoryLimitError as error:
            raise BrokenImage(str(error), is_outside=True) from None
        return pixels

    def _predict(
        self,
        names: Sequence[str],
        decoded: Sequence[np.ndarray | BrokenImage],
        options: Mapping[str, Any],
    ) -> list[Prediction]:
        read = [image for image in decoded if isinstance(image, np.ndarray)]
        predictions: Iterator[Prediction] = iter(())
        if read:
            whole = self.task.sees_whole
            outputs = self._outputs_whole(read[0]) if whole else self.outputs(np.stack(read))
            pairs = zip(names, decoded, strict=True)
            readable = [name for name, image in pairs if isinstance(image, np.ndarray)]
            predictions = iter(self.task.describe(readable, outputs, self.shape, **options))
        return [
            next(predictions)
            if isinstance(image, np.ndarray)
            else self.task.unreadable(name, str(image))
            for name, image in zip(names, decoded, strict=True)
        ]

    def _outputs_whole(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Calibrated predictions (1, ...) of one image (H, W, C) of any size, at its own size."""
        size = (image.shape[0], image.shape[1])
        seen = self.task.seen_size(size, self.shape)
        fitted = fit_image(image, ImageSpec(seen, self.config.data.channels, "squash"))
        raw = infer(cast(Model, self._model), fitted[None], size=size)
        return self.task.adjusted(self.folder, raw)

    def evaluate(
        self, *, data: str | Path | None = None, reporter: Reporter | None = None
    ) -> "Evaluation":
        """Measure on the sealed test split; the opening is written down first.

        Args:
            data: Path where the images lie now, if they were moved.
            reporter: Receives what happens; None: nobody.

        Raises:
            RunError: the training has not ended, or the data have changed since.
            LedgerError: the ledger cannot be written; the split stays closed.
        """
        from striate.api.evaluation import evaluate_runs

        return evaluate_runs([self], data=data, reporter=reporter)[0]

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def recorded_fields(record: Mapping[str, Any]) -> dict[str, Field]:
    """The fields of a run's items; runs from before there were tasks have classes alone.

    Raises:
        RunError: they are damaged.
    """
    data = record["data"]
    stored = data.get("fields", {"category": {"kind": "category", "names": data["class_names"]}})
    with reported_as(RunError, "The fields of a run's items, in its run.json, cannot be read"):
        return {name: field_from_json(value) for name, value in stored.items()}


def recorded_execution(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The execution of a run; only the number of threads where the run recorded nothing else."""
    return dict(record.get("execution") or {"threads": record["hardware"]["threads"]})


def load(path: str | Path) -> Run:
    """The run in a folder.

    Raises:
        RunError: there is none.
    """
    return Run(path)


def data_of(
    config: RunConfig,
    moved_to: str | Path | None,
    run: Path,
    reporter: Reporter,
    fields: Mapping[str, Field] | None = None,
) -> Dataset:
    """The images that a run was trained on, from their path then or their path now.

    Raises:
        RunError: they are not there.
    """
    path = config.data.source if moved_to is None else made_absolute(str(moved_to))
    if moved_to is None and Path(path).is_absolute() and not is_there(path):
        raise RunError(
            f"The images of {run} lay at {path} and are there no more. Put them back, or name "
            "where they lie now with --data PATH."
        )
    data = replace(config.data, source=path)
    # Runs of earlier versions, which did not know turned copies, keep their splits.
    turned = "turned_pairs" in RunFolder.existing(run).record()["data"]
    return prepare(data, fields=fields, progress=reporter.progress, turned=turned)
