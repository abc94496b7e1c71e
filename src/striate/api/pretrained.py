"""Published weights, measured on data."""

from pathlib import Path

import numpy as np
from torch import nn

from striate import places
from striate.config import ExecutionConfig
from striate.data import ImageSet, ImageSpec, Normalisation, SealedSplit, open_source
from striate.data.measured import measured_part
from striate.evaluation import open_test, receipts_of, record_result, verify
from striate.execution import Execution
from striate.networks.pretrained import fill, locate_weights, published_network
from striate.networks.weight import Preparation
from striate.networks.weight_file import WeightFile
from striate.tasks import Classification
from striate.tasks.classification.published import Matching, PublishedEvaluation
from striate.terminal import Reporter
from striate.training.inference import Model, infer

__all__ = ["PublishedEvaluation", "evaluate_pretrained"]


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
        matching = Matching.of(found, source.class_names)
        filled = fill(published_network(found.weights, found.weights.num_classes), found)
        part = measured_part(source, _spec(found.weights.preparation), reporter.progress)
        opening = None
        if isinstance(part.content, SealedSplit):
            folder = _folder_of(found)
            opening = open_test(part.content, run_hash=found.sha256[:12], run_folder=folder)
            images = part.content.read(opening)
        else:
            images = part.content
        metrics = matching.figures(_outputs(filled, found, images, reporter), images)
        findings: tuple[str, ...] = ()
        if opening is not None:
            record_result(opening, metrics.headline())
            findings = verify(opening.test_digest, receipts_of(folder)).findings
    finally:
        reporter.close()
    number = None if opening is None else opening.number
    told = matching.sentence()
    return PublishedEvaluation(found, source.title, part, metrics, told, number, findings)


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


def _outputs(
    network: nn.Module, found: WeightFile, images: ImageSet, reporter: Reporter
) -> dict[str, np.ndarray]:
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
    )
