"""Why a network predicts what it predicts: for one image, with what it was trained on."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from striate.api.images import named_images
from striate.api.run import Run, data_of
from striate.api.seeing import class_named
from striate.data import BrokenImage, Dataset, ImageSet, decode_image
from striate.data.decode import spec_of
from striate.data.plain import input_batches, inputs_of
from striate.data.spelling import shown, text_name
from striate.drawing.colour import over_grey
from striate.errors import ConfigError, DataError, RunError
from striate.seeing.attribution import grad_cam, occlusion
from striate.seeing.feature import features
from striate.seeing.gallery import (
    Panel,
    Picture,
    evidence_caption,
    file_name,
    require_free,
    write_gallery,
)
from striate.seeing.index import FeatureIndex, build_index, load_index, nearest, save_index
from striate.seeing.subject import last_spatial_layer
from striate.seeing.twin import twin
from striate.seeing.unlike import calibrated, p_values
from striate.tasks.task import Explained, output
from striate.terminal import Reporter

__all__ = ["Why", "why"]

_NEIGHBOURS = 6
_WINDOWS = 7
"""Windows of occlusion along the shorter side."""
_UNLIKELY = 0.05
_OPACITY = 0.7


@dataclass(frozen=True)
class Why:
    """A prediction with its evidence."""

    prediction: Any
    """As `Run.predict` gives it."""
    maps: dict[str, np.ndarray]
    """Maps (h, w) by what they explain: Grad-CAM, and by how much the number falls when a window is
    covered."""
    neighbours: list[tuple[str, str, float]]
    """Names and labels of the nearest training images, and how similar their features are."""
    likeness: str
    """Whether the image looks unlike the training images, in a sentence."""
    p_value: float | None
    """Probability of an image at least as unlike the training set, if it came from where the
    validation images came from; None: there are none that were not trained on."""
    page: Path

    def text(self) -> str:
        """The prediction and its evidence in lines for a terminal."""
        near = "; ".join(
            f"{shown(label)} {similarity:.3f} ({shown(Path(name).name)})"
            for name, label, similarity in self.neighbours[:3]
        )
        return "\n".join(
            [
                f"{shown(self.prediction.name)}: {self.prediction.text()}",
                f"Most alike among the training images: {near}",
                self.likeness,
                f"Evidence: {self.page}",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """The prediction and its evidence as JSON values, without the maps."""
        return {
            **self.prediction.to_json(),
            "explained": sorted({name.rpartition(": ")[2] for name in self.maps}),
            "neighbours": [
                {"name": name, "label": label, "similarity": round(similarity, 4)}
                for name, label, similarity in self.neighbours
            ],
            "p_value": self.p_value,
            "page": str(self.page),
        }


def why(
    run: str | Path | Run,
    image: str | Path,
    *,
    label: str | None = None,
    at: tuple[int, int] | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Why:
    """Explain the prediction for an image, and write a page about it.

    The features of the training images are computed at the first call, and kept in the run's
    folder.

    Args:
        run: Run, or its folder.
        image: Image.
        label: Class that the image is of, or that is to be explained beside the predicted one.
        at: Row and column of the object to explain, for predictions of maps.
        out: Folder that is new or empty; None: a new one under RUN/why.
        data: Path of the run's images, if they were moved.
        reporter: Receives what happens; None: nobody.

    Raises:
        ConfigError: an unknown class, a position that does not exist, a folder that holds
            something.
        RunError, DataError.
    """
    reporter = reporter or Reporter()
    run = run if isinstance(run, Run) else Run(run)
    try:
        name, pixels = _read(run, image)
        folder = (
            Path(out) if out is not None else _free(run.path / "why" / file_name(Path(name).stem))
        )
        require_free(folder)
        network = twin(run.network).cpu()
        outputs = run.outputs(pixels[None])
        prediction = run.task.describe([text_name(name)], outputs, run.shape)[0]
        wanted = run.task.explained(outputs, run.shape, at)
        if label is not None:
            wanted = [*wanted[:1], _of_class(run, label)]
        inputs = inputs_of(pixels[None], run.normalise)
        maps = _maps(network, inputs, wanted)
        dataset = data_of(run.config, data, run.path, reporter, run.fields)
        index = _index(run, network, dataset, reporter)
        own = features(network, inputs, index.layer)
        near = nearest(index, own, _NEIGHBOURS)
        p_value = float(p_values(index, own)[0]) if len(index.held_out) else None
        rows = near.rows[0].tolist()
        neighbours = [
            (index.names[row], index.labels[row], float(similarity))
            for row, similarity in zip(rows, near.similarities[0], strict=True)
        ]
        panels = [
            _evidence(pixels, maps, str(prediction.text())),
            _nearest(dataset.train, rows, neighbours),
        ]
        likeness = _likeness(p_value, len(index.held_out))
        facts = [f"{text_name(name)}: {prediction.text()}", likeness]
        page = write_gallery(folder, f"Why {run.path.name} predicts this", facts, panels)
    finally:
        reporter.close()
    return Why(prediction, maps, neighbours, likeness, p_value, page)


def _read(run: Run, image: str | Path) -> tuple[str, np.ndarray]:
    """The name of the one image, and its pixels at the run's input size."""
    named = named_images(image)
    if len(named) != 1:
        raise ConfigError(f"{image} holds {len(named)} images; one is explained at a time.")
    name, content = named[0]
    try:
        return name, decode_image(content, spec_of(run.config.data))
    except BrokenImage as error:
        raise DataError(f"{name}: {error}") from None


def _free(folder: Path) -> Path:
    """The folder, or one with a number behind its name, that does not exist yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _of_class(run: Run, label: str) -> Explained:
    return Explained(label, partial(output, index=class_named(label, run.shape.names)))


def _maps(network: Any, inputs: Tensor, wanted: list[Explained]) -> dict[str, np.ndarray]:
    """Grad-CAM and occlusion for each number; where no layer has positions, occlusion alone."""
    found: dict[str, np.ndarray] = {}
    layer = last_spatial_layer(network, tuple(inputs.shape[1:]))
    side = max(1, min(inputs.shape[2:]) // _WINDOWS)
    for one in wanted:
        if layer is not None:
            map_ = grad_cam(network, inputs, one.score, layer)[0]
            found[f"Grad-CAM: {one.name}"] = map_.float().numpy()
        covered = occlusion(network, inputs, one.score, window=side, stride=side)[0]
        found[f"Occlusion: {one.name}"] = covered.float().numpy()
    return found


def _evidence(pixels: np.ndarray, maps: dict[str, np.ndarray], said: str) -> Panel:
    kinds = {kind: [n for n in maps if n.startswith(kind)] for kind in ("Grad-CAM", "Occlusion")}
    scales = {
        kind: max((float(np.abs(maps[name]).max()) for name in names), default=0.0)
        for kind, names in kinds.items()
    }
    pictures = [Picture(pixels, said)]
    for name, values in maps.items():
        kind = name.partition(":")[0]
        signed = kind == "Occlusion"
        drawn = over_grey(pixels, values, scales[kind], signed=signed, opacity=_OPACITY)
        pictures.append(Picture(drawn, evidence_caption(name, values)))
    notes = [
        f"Grad-CAM: where the last maps speak for the number; scale 0 to {scales['Grad-CAM']:.3g}.",
        "Occlusion: by how much the number falls when a window is covered with the mean colour, "
        f"orange where it is needed; scale {-scales['Occlusion']:.3g} to "
        f"{scales['Occlusion']:.3g}.",
    ]
    return Panel(
        "evidence",
        "What the prediction rests on",
        "What is compared shares its scale: a pale map says little.",
        notes=notes,
        pictures=pictures,
        arrays={file_name(name): values for name, values in maps.items()},
    )


def _nearest(train: ImageSet, rows: list[int], neighbours: list[tuple[str, str, float]]) -> Panel:
    pictures = [
        Picture(
            np.asarray(train.images[row]), f"{label}: {similarity:.3f} ({Path(name).name})", True
        )
        for row, (name, label, similarity) in zip(rows, neighbours, strict=True)
    ]
    return Panel(
        "neighbours",
        "The training images that it takes for most alike",
        "Nearest by the inputs of the last layer, with their labels; 1 is the same direction.",
        pictures=pictures,
    )


def _likeness(p_value: float | None, num_held_out: int) -> str:
    if p_value is None:
        return "Whether the image is unlike the training images is not known: none were kept apart."
    words = (
        "It looks unlike the images that the network was trained on: a prediction for such an "
        "image is not covered by the measured error."
        if p_value <= _UNLIKELY
        else "It does not look unlike the images that the network was trained on."
    )
    return (
        f"{words} (p = {p_value:.2g}: the share of {num_held_out:,} validation images, and of "
        "itself, that are at least as far from the training images.)"
    )


def _index(run: Run, network: Any, dataset: Dataset, reporter: Reporter) -> FeatureIndex:
    """The features of the training images: those that are kept, or made now and kept."""
    path = run.path / "index.safetensors"
    if path.is_file():
        try:
            return load_index(path, network)
        except RunError as error:
            reporter.say(f"{error} It is made again.")
    began = time.monotonic()
    progress, train = partial(reporter.progress, "computing features"), dataset.train
    batches = input_batches(train.images, run.normalise, progress)
    index = build_index(network, batches, train.names, _labels(train))
    if run.config.data.validation == "apart":
        held_out = input_batches(dataset.validation.images, run.normalise, progress)
        index = calibrated(index, features(network, held_out, index.layer))
    save_index(path, index)
    reporter.say(
        f"The features of {len(train):,} training images were computed in "
        f"{time.monotonic() - began:.1f} s and are kept in {path} ({path.stat().st_size / 1e6:.1f} "
        "MB)."
    )
    return index


def _labels(split: ImageSet) -> list[str]:
    """What items hold beside their image, in words; nothing of what has no short words."""
    for name, field in split.fields.items():
        if not field.in_file:
            return [field.line(value) for value in split.columns[name]]
    return [""] * len(split)
