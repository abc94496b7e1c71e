"""Published weights, measured on data."""

from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from striate import folders
from striate.config import ExecutionConfig
from striate.data import ImageSet, ImageSpec, Normalisation, SealedSplit, open_source
from striate.data.measured import measured_part
from striate.evaluation import open_test, receipts_of, record_result, until_result, verify
from striate.evaluation.resemblance import keep_images
from striate.execution import Execution
from striate.networks.pretrained import fill, locate_weights, published_network
from striate.networks.weight import Preparation
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
        pretrained: Name of published weights, or a file of them.
        data: Path or name, as in `train`.
        network: Network whose weights a file holds, where the file has no published name.
        reporter: Receives what happens; None: nobody.

    Raises:
        ConfigError: an unknown name, or classes that the network's outputs do not match.
        CheckpointError: a file that is refused, altered or does not fit.
        DataError, DownloadError, LedgerError.
    """
    reporter = reporter or Reporter()
    try:
        source = open_source(str(data))
        file = locate_weights(pretrained, network, reporter.progress)
        source.fetch(reporter.progress)
        matching = Matching.of(file, source.class_names)
        filled = fill(published_network(file.weights, file.weights.num_classes), file)
        form = file.weights.preparation
        # Without a resize images are fitted to the size.
        spec = ImageSpec(form.input_size, 3, resize=form.resize, interpolation=form.interpolation)
        part = measured_part(source, spec, reporter.progress)
        opening = None
        if isinstance(part.content, SealedSplit):
            # Weights have no run's folder: the receipts of their openings lie beside the ledgers.
            folder = folders.home_dir() / "published" / f"{file.name}-{file.sha256[:12]}"
            folder.mkdir(parents=True, exist_ok=True)
            opening = open_test(part.content, run_hash=file.sha256[:12], run_folder=folder)
            with until_result(opening):
                images = part.content.read(opening)
                metrics = matching.figures(_outputs(filled, form, images, reporter), images)
                record_result(opening, metrics.headline())
            keep_images(opening.test_digest, images)
            findings = verify(opening.test_digest, receipts_of(folder)).findings
        else:
            images, findings = part.content, ()
            metrics = matching.figures(_outputs(filled, form, images, reporter), images)
    finally:
        reporter.close()
    number = None if opening is None else opening.number
    classes = matching.sentence()
    return PublishedEvaluation(file, source.title, part, metrics, classes, number, findings)


def _outputs(
    network: nn.Module, form: Preparation, images: ImageSet, reporter: Reporter
) -> dict[str, np.ndarray]:
    execution = Execution.of(ExecutionConfig())
    networks = nn.ModuleDict({"network": execution.place(network)})
    normalise = Normalisation(form.mean, form.deviation)
    return infer(
        Model(networks, Classification(), normalise, execution),
        images.images,
        # large images fill the memory long before they fill the processor
        batch_size=256 if max(form.input_size) <= 64 else 32,
        progress=partial(reporter.progress, "predicting"),
    )
