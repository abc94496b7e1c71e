"""A run that was trained: what it is, and what it answers."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.config import RunConfig
from striate.data import BrokenImage, ImageSpec, decode_image
from striate.data.loader import Normalisation
from striate.errors import DataError
from striate.evaluation import Measures
from striate.training.assemble import build_network, build_task
from striate.training.execution import Execution
from striate.training.folder import RunFolder
from striate.training.inference import infer

if TYPE_CHECKING:
    from striate.api.evaluation import Evaluation
    from striate.terminal import Reporter

__all__ = ["Answer", "Run", "load"]


class Answer:
    """What a run says of one image.

    Attributes:
        name: of the image, as it came.
        label: the most probable class; None when the image could not be read.
        confidence: probability of that class.
        probabilities: class -> probability, the most probable first.
        problem: why the image could not be read; None when it could.
    """

    def __init__(
        self, name: str, probabilities: dict[str, float] | None, problem: str | None = None
    ) -> None:
        self.name = name
        self.probabilities = probabilities or {}
        self.label = next(iter(self.probabilities), None)
        self.confidence = self.probabilities[self.label] if self.label is not None else None
        self.problem = problem

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        if self.problem is not None:
            return {"name": self.name, "problem": self.problem}
        return {
            "name": self.name,
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
        }

    def __repr__(self) -> str:
        if self.problem is not None:
            return f"Answer({self.name!r}, problem={self.problem!r})"
        return f"Answer({self.name!r}, {self.label!r}, {self.confidence:.3f})"


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

    @cached_property
    def normalise(self) -> Normalisation:
        """The preprocessing that the network was trained with."""
        stored = self.record["normalisation"]
        return Normalisation(tuple(stored["mean"]), tuple(stored["std"]))

    @cached_property
    def execution(self) -> Execution:
        return Execution.of(self.config.execution)

    @cached_property
    def network(self) -> Any:
        """The trained network, in eval mode, on the run's device.

        Raises:
            RunError: the training has not ended.
        """
        weights = self.folder.read_tensors(self.folder.weights)
        network = build_network(self.config, len(self.class_names))
        network.load_state_dict(weights)
        return self.execution.place(network).eval()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K) of images (N, H, W, C) uint8 of the run's input size."""
        task = build_task(self.config)
        return infer(self.network, task, images, self.normalise, self.execution)

    def predict(self, images: Any, *, batch_size: int = 256) -> list[Answer]:
        """Answers for paths, folders, PIL images, NumPy arrays or tensors, one or many.

        Arrays are (H, W), (H, W, C) or, for tensors, also (C, H, W); a number of them may be
        stacked. An image that cannot be read gets an answer with its problem; the others go on.

        Raises:
            RunError: the training has not ended.
            DataError: nothing to predict.
        """
        named = list(_named_images(images))
        if not named:
            raise DataError("There is no image to predict; give paths, a folder or arrays.")
        data = self.config.data
        spec = ImageSpec(input_size=data.input_size, channels=data.channels, fit=data.fit)
        answers: list[Answer] = []
        for start in range(0, len(named), batch_size):
            answers += self._answer(named[start : start + batch_size], spec)
        return answers

    def _answer(self, named: Sequence[tuple[str, Any]], spec: ImageSpec) -> list[Answer]:
        pixels: list[np.ndarray] = []
        problems: dict[int, str] = {}
        for place, (_, image) in enumerate(named):
            try:
                pixels.append(decode_image(image, spec))
            except BrokenImage as error:
                problems[place] = str(error)
        rows = iter(self.probabilities(np.stack(pixels)) if pixels else [])
        return [
            Answer(name, None, problems[place])
            if place in problems
            else Answer(name, self._ranked(next(rows)))
            for place, (name, _) in enumerate(named)
        ]

    def _ranked(self, row: np.ndarray) -> dict[str, float]:
        order = np.argsort(-row, kind="stable")
        return {self.class_names[k]: float(row[k]) for k in order}

    def evaluate(self, *, reporter: "Reporter | None" = None) -> "Evaluation":
        """Open the sealed test split, write the ledger and measure; see `striate.evaluate`."""
        from striate.api.evaluation import evaluate

        return evaluate(self, reporter=reporter)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def load(path: str | Path) -> Run:
    """The run in a folder.

    Raises:
        RunError: there is none.
    """
    return Run(path)


def _named_images(images: Any) -> list[tuple[str, Any]]:
    """(name, image) of everything that a person may hand over."""
    if isinstance(images, (str, Path)):
        path = Path(images)
        if not path.is_dir():
            if not path.exists():
                raise DataError(f"{path} does not exist; give an image or a folder of images.")
            return [(str(path), path)]
        found = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        if not found:
            raise DataError(f"{path} holds no files; give an image or a folder of images.")
        return [(str(p), p) for p in found]
    if isinstance(images, (list, tuple)):
        named = []
        for place, item in enumerate(images):
            for name, image in _named_images(item):
                named.append((name if isinstance(item, (str, Path)) else f"image {place}", image))
        return named
    array = _as_array(images)
    if array is None:
        return [("image 0", images)]
    stacked = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4))
    rows = array if stacked else array[None]
    return [(f"image {i}", row) for i, row in enumerate(rows)]


def _as_array(images: Any) -> np.ndarray | None:
    """A NumPy array (…, H, W[, C]) of an array or a tensor; None for anything else."""
    if isinstance(images, np.ndarray):
        return images
    if not hasattr(images, "detach"):
        return None
    tensor = images.detach().cpu()
    if tensor.ndim >= 3 and tensor.shape[-3] in (1, 3, 4):
        tensor = tensor.movedim(-3, -1)
    if tensor.is_floating_point():
        tensor = (tensor * 255).round().clamp(0, 255).byte()
    array: np.ndarray = tensor.numpy()
    return array
