"""Published weights, measured on data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from striate import places
from striate.config import ExecutionConfig
from striate.data import ImageSet, ImageSpec, Normalisation, SealedSplit, open_source
from striate.data.measured import MeasuredPart, measured_part
from striate.evaluation import (
    Measures,
    measure,
    open_test,
    percent,
    receipts_of,
    record_result,
    verify,
)
from striate.execution import Execution
from striate.networks.class_order import answer_names, class_order
from striate.networks.pretrained import fill, locate_weights, published_network
from striate.networks.weight import Preparation
from striate.networks.weight_file import WeightFile
from striate.tasks import Classification
from striate.terminal import Reporter
from striate.training.inference import Model, infer

__all__ = ["PublishedEvaluation", "evaluate_pretrained"]


@dataclass(frozen=True)
class PublishedEvaluation:
    """The measures of published weights on a set of images."""

    file: WeightFile
    data: str
    part: MeasuredPart
    measures: Measures
    classes: str
    """How the data's classes were matched with the answers, in a sentence."""
    opening: int | None
    """Which opening of the test split this was; None where no test split was opened."""
    findings: tuple[str, ...]
    """What shows that the ledger was altered; empty when it is sound."""

    def notes(self) -> list[str]:
        """Notes for people beside the table, in sentences."""
        named, weights = self.part.split, self.file.weights
        lines = [self._published(), self.classes]
        if self.opening is not None:
            lines.append(f"This was opening {self.opening} of this test split.")
        elif named is not None:
            lines.append(f"The data name no test split; their {named} split was measured.")
        else:
            lines.append("The data name no split: all of their images were measured.")
        if self.part.broken:
            lines.append(
                f"{len(self.part.broken)} file(s) gave no picture and were left out; the first: "
                f"{self.part.broken[0].name}."
            )
        lines += [f"The ledger was altered: {finding}" for finding in self.findings]
        lines.append(f"Weights: {self.file.path} (licence: {weights.licence})")
        return lines

    def _published(self) -> str:
        weights, error = self.file.weights, self.measures.error
        if not self.file.is_published:
            return "The file is not the published one; no published figure stands beside it."
        shown = f"error {percent(weights.top1_error / 100)} %"
        if weights.top5_error is not None:
            shown += f", top-5 error {percent(weights.top5_error / 100)} %"
        inside = error.low <= weights.top1_error / 100 <= error.high
        verdict = "inside" if inside else "outside"
        return f"published: {shown} ({weights.measured_on}); {verdict} the interval above"

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        weights = self.file.weights
        published = {
            "error": weights.top1_error / 100,
            "top5_error": None if weights.top5_error is None else weights.top5_error / 100,
            "measured_on": weights.measured_on,
        }
        return {
            "weights": {
                "name": self.file.name,
                "file": str(self.file.path),
                "sha256": self.file.sha256,
                "is_published": self.file.is_published,
            },
            "published": published if self.file.is_published else None,
            "data": self.data,
            "split": self.part.split,
            "opening": self.opening,
            "broken": [vars(file) for file in self.part.broken],
            "measures": self.measures.to_json(),
        }


def evaluate_pretrained(
    pretrained: str | Path,
    data: str | Path,
    *,
    network: str | None = None,
    reporter: Reporter | None = None,
) -> PublishedEvaluation:
    """Measure published weights on images, prepared as the weights expect.

    Where the data name a test split, it is measured, and the opening is written down first.

    Args:
        pretrained: a name of published weights, or a file of them.
        data: path or name, as in `train`.
        network: for a file that has no published name: whose weights it holds.
        reporter: is told what happens; None: nobody.

    Raises:
        ConfigError: an unknown name, or classes that the network's answers do not match.
        CheckpointError: a file that is refused, altered or does not fit.
        DataError, DownloadError, LedgerError.
    """
    reporter = reporter or Reporter()
    try:
        source = open_source(str(data))
        found = locate_weights(pretrained, network, reporter.progress)
        source.fetch(reporter.progress)
        order = class_order(found.weights, source.class_names)
        filled = fill(published_network(found.weights, found.weights.num_classes), found)
        part = measured_part(source, _spec(found.weights.preparation), reporter.progress)
        opening = None
        if isinstance(part.content, SealedSplit):
            folder = _folder_of(found)
            opening = open_test(part.content, run_hash=found.sha256[:12], run_folder=folder)
            images = part.content.read(opening)
        else:
            images = part.content
        probabilities = _probabilities(filled, found, images, reporter)
        labels = np.array(order, dtype=np.int64)[images.labels]
        measures = measure(probabilities, labels, _names(found, source.class_names, order))
        findings: tuple[str, ...] = ()
        if opening is not None:
            record_result(opening, measures.headline())
            findings = verify(opening.test_digest, receipts_of(folder)).findings
    finally:
        reporter.close()
    number = None if opening is None else opening.number
    classes = _matching(source.class_names, measures.class_names, order)
    return PublishedEvaluation(found, source.title, part, measures, classes, number, findings)


def _spec(preparation: Preparation) -> ImageSpec:
    """The form of images that weights expect; without a resize they are fitted to the size."""
    return ImageSpec(
        preparation.input_size,
        3,
        resize=preparation.resize,
        interpolation=preparation.interpolation,
    )


def _folder_of(found: WeightFile) -> Path:
    """Weights have no run's folder: the receipts of their openings lie beside the ledgers."""
    folder = places.home_dir() / "published" / f"{found.name}-{found.sha256[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _probabilities(
    network: Any, found: WeightFile, images: ImageSet, reporter: Reporter
) -> np.ndarray:
    execution = Execution.of(ExecutionConfig())
    preparation = found.weights.preparation
    # large images fill the memory long before they fill the processor
    batch_size = 256 if max(preparation.input_size) <= 64 else 32
    model = Model(
        nn.ModuleDict({"network": execution.place(network)}),
        Classification(),
        Normalisation(preparation.mean, preparation.deviation),
        execution,
    )
    return infer(
        model,
        images.images,
        batch_size=batch_size,
        progress=lambda done, total: reporter.progress("predicting", done, total),
    )["probabilities"]


def _matching(class_names: Sequence[str], answers: Sequence[str], order: Sequence[int]) -> str:
    """How classes were matched: with an example, so that a wrong order is seen."""
    if len(class_names) < len(answers):
        count = f"{len(class_names)} of the network's {len(answers)} answers"
    else:
        count = f"the network's {len(answers)} answers"
    shown = list(zip(class_names, order, strict=True))[:3]
    pairs = ", ".join(
        f"{name} is answer {place}" + (f" ({answers[place]})" if answers[place] != name else "")
        for name, place in shown
    )
    return f"The data's classes are {count}: {pairs}, ..."


def _names(found: WeightFile, class_names: Sequence[str], order: Sequence[int]) -> tuple[str, ...]:
    """Names of all K answers: the data's where they have the class, else the weights'."""
    names = list(answer_names(found.weights) or map(str, range(found.weights.num_classes)))
    if answer_names(found.weights) is None:
        for name, place in zip(class_names, order, strict=True):
            names[place] = name
    return tuple(names)
