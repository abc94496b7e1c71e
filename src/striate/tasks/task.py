"""The contract of a task: the outputs of networks, their losses, and the rows that are kept.

A task says which fields of an item it needs, how networks turn them into a loss, how their
outputs become a prediction, and which rows are kept of each item. Metrics, intervals, comparisons
and reports follow from the rows; training, checkpoints and budgets from the losses. Nothing
outside this package knows which task it serves.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Dataset, ImageSet
from striate.data.batch import Batch
from striate.data.field import FIELDS, Field
from striate.data.source import Source
from striate.data.warp import Warp
from striate.errors import ConfigError, RunError
from striate.evaluation.comparison import compare
from striate.evaluation.metric import Columns, Meter, Scores
from striate.evaluation.report import Headline, Section, metric_section, write
from striate.evaluation.stored import Predictions, load_predictions
from striate.evaluation.summary import Figures, Summary
from striate.losses import LOSSES
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.tasks.class_weight import split_arguments, try_class_loss
from striate.tasks.comparison import MetricComparison
from striate.tasks.conditions import Conditions
from striate.tasks.prediction import Prediction


@dataclass(frozen=True)
class DataShape:
    """The part of a set's description from which networks and meters are built."""

    fields: Mapping[str, Field]
    """Fields beside the image, by name."""
    channels: int
    """Channels C of an image."""
    size: tuple[int, ...]
    """Height and width that networks see, pixels."""

    @property
    def num_outputs(self) -> int:
        """Numbers that are predicted for an item or pixel: the most names that a field has."""
        return max((len(getattr(f, "names", "-")) for f in self.fields.values()), default=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, labels or columns of the first field that has names."""
        fields: Any = self.fields.values()
        return next((field.names for field in fields if hasattr(field, "names")), ())


@runtime_checkable
class Build(Protocol):
    """Builds a network of the configuration.

    The name is that of the network in the configuration ("network", or a further one of
    `RunConfig.networks`); `arguments` are those that follow from the data, beside the channels and
    the size of the images.
    """

    def __call__(self, name: str = "network", **arguments: Any) -> nn.Module: ...


class View(NamedTuple):
    """The outputs for one view of a batch."""

    weight: float
    """Share of this view; the shares sum to 1."""
    warp: Warp | None
    """Warp by which the view was made; None for the image itself."""
    outputs: Mapping[str, Tensor]


class ReportedSplit(NamedTuple):
    """The split that a report shows: the test split once it was opened, else validation."""

    name: str
    """"test" or "validation"."""
    images: ImageSet
    rows: Columns
    """Rows after calibration."""
    figures: Figures
    """Figures of these rows."""
    validation: Columns
    """Rows of the validation split, each adjusted by a fit that has not seen it."""
    data: DataShape


class Setting(NamedTuple):
    """A setting that a task prefers where a person left it open."""

    what: str
    """Name of the setting for people."""
    value: Any
    """Value as JSON."""
    why: str
    shown: str
    """Value in words."""


class Explained(NamedTuple):
    """A number of a prediction for which evidence can be shown."""

    name: str
    """What it is, in words: the name of a class, of a column, ..."""
    score: Callable[[Tensor], Tensor]
    """From the network's outputs (B, ...) to the number for each image (B,)."""


class Task(ABC):
    """The interface of tasks; one subclass is one task.

    Args:
        loss: Name and arguments of the loss, one of `LOSSES` that takes `loss_arguments`; None:
            the task can predict but not learn.

    Raises:
        ConfigError: an unknown loss or argument.
    """

    needs: ClassVar[tuple[str, ...]]
    """Names of the fields that an item must have, beside its image."""
    outputs: ClassVar[str] = "scores"
    """Outputs that a network must have: scores (B, K), map (B, K, H, W), embedding, image,
    sequence or boxes."""
    phases: ClassVar[tuple[str, ...]] = ("network",)
    """Networks that learn in turn within each step; each phase has its own optimiser."""
    loss_arguments: ClassVar[tuple[str, ...]] = ("scores", "target")
    """Arguments that the task gives to its loss."""
    unsuited: ClassVar[tuple[str, ...]] = ()
    """Augmentations that the planner leaves out, for they change what is to be predicted."""
    weights_add: ClassVar[str] = (
        "on photographs they halve the error (15 kinds of scenes in a minute: 8 % wrong for 19 %)"
    )
    """What published weights were measured to add, as a clause."""
    keeps_groups: ClassVar[bool] = False
    """Whether rows keep the group of each item (a patient, a film), so that intervals draw whole
    groups."""
    sees_whole: ClassVar[bool] = False
    """Whether images that are predicted are seen whole, at `seen_size`, and maps brought back to
    their own size; else they are fitted to the input size."""
    file_names: ClassVar[tuple[str, ...]] = ()
    """Files of a prediction, with {} for the image's name without its ending: "masks/{}.png"."""

    def __init__(self, loss: Pick | None = None) -> None:
        self.facts: Mapping[str, Any] = {}
        """Facts of the training split; see `prepare`."""
        self.loss_pick = loss
        self._loss: Callable[..., Tensor] | None = (
            None if loss is None else LOSSES.bind(loss, self.loss_arguments)
        )

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """The reason, in a sentence, why a source is evidently meant for this task; else None.

        It decides where a person named no task; names, columns and classes must suffice.
        """
        return None

    def loss(self, *arguments: Tensor) -> Tensor:
        """The chosen loss of `loss_arguments`, a mean over the valid targets."""
        if self._loss is None:
            raise ConfigError("This task was made without a loss; it can predict but not learn.")
        return self._loss(*arguments)

    def try_loss(self) -> None:
        """Call the loss on zeros, so that its arguments are checked before data are read.

        Raises:
            ConfigError, TypeError, ValueError: an argument that the loss cannot take.
        """
        if self.outputs in ("scores", "map") and self.loss_arguments == ("scores", "target"):
            try_class_loss(self.loss_pick)

    def prepare(self, train: ImageSet) -> dict[str, Any]:
        """Facts of the training split that the task needs, as JSON values: counts, means.

        They are measured once, before a training begins, and kept with the run; `use` receives
        them then, and whenever the run is resumed, evaluated or predicts.

        Returns:
            Facts by name; under "loss" the arguments of the loss that follow from the split.

        Raises:
            ConfigError: arguments of the loss that do not fit the split.
        """
        arguments = split_arguments(self.loss_pick, train)
        return {"loss": arguments} if arguments else {}

    def use(self, facts: Mapping[str, Any]) -> None:
        """Take the facts of the training split."""
        self.facts = facts
        if self._loss is not None:
            self._loss = partial(self._loss, **facts.get("loss", {}))

    def fields(self, source: Source) -> dict[str, Field]:
        """The fields of a source's items, by name.

        Raises:
            DataError: the source lacks one that the task needs.
        """
        return {name: FIELDS[name].of(source, name) for name in self.needs if name != "image"}

    def networks(self, build: Build, data: DataShape) -> nn.ModuleDict:
        """The networks by name, with fresh weights; the first one has the task's `outputs`.

        Unless a task says otherwise it has one network, with an output for each name of its field.
        """
        return nn.ModuleDict({"network": build("network", num_classes=data.num_outputs)})

    @abstractmethod
    def losses(self, networks: nn.ModuleDict, batch: Batch, phase: str) -> dict[str, Tensor]:
        """The loss of a phase, under "loss", and its parts; means over the valid targets."""

    def loss_of(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of its one network on a batch."""
        return self.losses(nn.ModuleDict({"network": network}), batch, "network")["loss"]

    def predict(self, networks: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        """The outputs (B, ...) for one view of a batch, in float32."""
        network: nn.Module = next(iter(networks.values()))
        return {self.outputs: network(batch["image"]).float()}

    def merge(self, views: Sequence[View]) -> dict[str, Tensor]:
        """The outputs of several views as one: their weighted mean, maps brought back first."""
        merged: dict[str, Tensor] = {}
        for name in views[0].outputs:
            total = torch.zeros(())
            for view in views:
                output = view.outputs[name]
                if self.outputs == "map" and view.warp is not None:
                    output = view.warp.inverse().image(output)
                total = total.to(output.device) + view.weight * output
            merged[name] = total
        return merged

    @abstractmethod
    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The predictions (B, ...) that merged outputs stand for, on the CPU."""

    @abstractmethod
    def meter(self, data: DataShape) -> Meter:
        """A fresh meter, which keeps the rows of each item; its first metric is the headline."""

    def weight(self, batch: Batch) -> float:
        """The number of valid targets, by which parts of a batch are added up exactly."""
        return float(len(batch))

    def num_outputs(self, num_classes: int) -> int:
        """Numbers that a network gives for an item of a set that names so many classes, or 1."""
        return num_classes

    def settings(self) -> dict[str, Setting]:
        """Settings that suit this task where a person left them open, by dotted path."""
        return {}

    def suited(self, conditions: Conditions) -> dict[str, Setting]:
        """Settings that suit this task on a set, for a training of so long, by dotted path.

        Args:
            conditions: Facts of the set and of the training; networks may be measured with it.
        """
        return self.settings()

    def chance_level(self, data: DataShape) -> float | None:
        """The loss of a network that knows nothing; None where it is not known."""
        return None

    def best_constant(self, rows: Columns) -> float | None:
        """The headline metric of the best prediction that sees no image; None: it is not known."""
        return None

    def figures(self, rows: Columns, data: DataShape) -> Figures:
        """The metrics of a split with their intervals."""
        return Summary.of(Scores(self.meter(data).metrics, rows))

    def figures_from_json(self, value: Mapping[str, Any]) -> Figures:
        """The figures back from their JSON values."""
        return Summary.from_json(value)

    def describe(
        self, names: Sequence[str], outputs: Mapping[str, np.ndarray], data: DataShape
    ) -> list[Prediction]:
        """The predictions of named images for people and programs, from outputs (N, ...)."""
        return [
            Prediction(name, {key: value[i].tolist() for key, value in outputs.items()})
            for i, name in enumerate(names)
        ]

    def explained(
        self,
        outputs: Mapping[str, np.ndarray],
        data: DataShape,
        at: tuple[int, int] | None = None,
    ) -> list[Explained]:
        """The numbers of a prediction that are worth explaining, the first one first.

        Unless a task says otherwise: the scores of the two likeliest names, or the only output.

        Args:
            outputs: The run's predictions (1, ...) for one image, by name, adjusted.
            data: Shape of the data.
            at: Row and column, for a task that predicts maps.

        Raises:
            ConfigError: a position that a task without maps cannot take, or outside of the map.
        """
        if at is not None:
            raise ConfigError("A position is for predictions of maps; leave it out.")
        names = data.names or ("output",)
        likely = np.argsort(-next(iter(outputs.values()))[0], kind="stable")[:2]
        return [Explained(names[i], partial(output, index=i)) for i in likely.tolist()]

    def seen_size(self, size: tuple[int, int], data: DataShape) -> tuple[int, int]:
        """Height and width at which networks see an image of a size, pixels; see `sees_whole`."""
        return size

    def files(self, prediction: Prediction, data: DataShape) -> tuple[bytes, ...]:
        """Contents of the files of a prediction, in the order of `file_names`."""
        return ()

    def unreadable(self, name: str, problem: str) -> Prediction:
        """The prediction for an image that could not be read, and why."""
        return Prediction(name, None, problem)

    def columns(self, predictions: Sequence[Prediction], data: DataShape) -> tuple[str, ...]:
        """The columns of a table of predictions, beside name and problem."""
        return tuple(next((p.cells() for p in predictions if p.problem is None), {}))

    def calibrate(self, folder: RunFolder, *, classwise: bool = False) -> dict[str, Any]:
        """Fit what makes predictions honest on a run's stored validation predictions.

        Raises:
            RunError: the task has nothing to calibrate.
        """
        raise RunError(f"{folder.path}: the predictions of this task have no calibration to fit.")

    def finish(self, folder: RunFolder) -> None:  # noqa: B027 - most have nothing to do
        """Whatever follows a training once its validation predictions are stored."""

    def adjusted(
        self, folder: RunFolder, outputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs (N, ...) after the run's calibration."""
        return dict(outputs)

    def held_out(self, folder: RunFolder) -> Columns:
        """The stored validation rows, each adjusted by a fit that has not seen it."""
        return load_predictions(folder.predictions).rows

    def compare(
        self,
        names: Sequence[str],
        predictions: Sequence[Predictions],
        data: DataShape,
        pictures: Mapping[int, Callable[[], np.ndarray | None]],
        *,
        split: str,
        notes: tuple[str, ...],
        tiny: bool,
    ) -> Any:
        """Systems compared on the same items, with `names`, `to_json`, `lines` and `write`.

        Args:
            names: Names of the systems.
            predictions: Calibrated predictions of each, in one order of items.
            data: Shape of the data.
            pictures: Function for each item with a picture that reads it, by index.
            split: "test" or "validation".
            notes: Sentences about the comparison.
            tiny: Whether a page enlarges the pictures.
        """
        metric = self.meter(data).metrics[0]
        systems = {name: one.rows for name, one in zip(names, predictions, strict=True)}
        return MetricComparison(compare(metric, systems), split, notes)

    def pictures(self, split: ImageSet, rows: Columns) -> dict[int, np.ndarray]:
        """Small pictures by index, kept beside the predictions of a test split."""
        return {}

    def report(self, folder: RunFolder, data: Dataset, split: ReportedSplit) -> dict[str, Any]:
        """Facts of the report that only this task has, as JSON values."""
        return {}

    def sections(self, split: ReportedSplit) -> list[Section]:
        """Sections of the report after the table of metrics."""
        return []

    def write_report(self, folder: Path, facts: Mapping[str, Any], split: ReportedSplit) -> None:
        """Write report.html and report.json into a run's folder.

        Args:
            folder: Folder of the run.
            facts: JSON values as for `evaluation.report.render`.
            split: Split that the report shows.
        """
        scores = Scores(self.meter(split.data).metrics, split.rows)
        name, estimate = next(iter(scores.estimates().items()))
        headline = Headline(name, estimate, is_percent=False)
        write(
            folder, facts, headline, [metric_section({split.name: scores}), *self.sections(split)]
        )

    def draw(self, image: np.ndarray, prediction: Prediction, data: DataShape) -> np.ndarray | None:
        """A picture (H, W, 3) of a prediction on its image (H, W, C) uint8; None: none is drawn."""
        return None


def output(outputs: Tensor, index: int) -> Tensor:
    """One of the outputs (B, K) of each image."""
    return outputs[:, index]
