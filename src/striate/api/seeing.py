"""Seeing: a gallery of what a network has learned, of a run or of published weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.api.images import named_images
from striate.api.run import Run, data_of
from striate.data import BrokenImage, ImageSet, ImageSpec, Normalisation, decode_image
from striate.data.batch import Batch
from striate.data.decode import spec_of
from striate.data.plain import inputs_of, plain_batch
from striate.data.spelling import text_name
from striate.errors import ConfigError, DataError, unknown_name
from striate.evaluation import load_predictions
from striate.networks.class_order import answer_names
from striate.networks.pretrained import fill, locate_weights, published_network
from striate.randomness import some_of
from striate.seeing.gallery import Panel, file_name, require_free, write_gallery
from striate.seeing.parts import PARTS
from striate.seeing.subject import Collection, Subject, last_spatial_layer
from striate.seeing.target import Target, Unit, outputs_of
from striate.seeing.twin import module_named, twin
from striate.terminal import Reporter
from striate.training.assemble import whole
from striate.training.events import read_events

__all__ = ["see"]

_MISTAKES, _RIGHT = 3, 3
"""Validation images that are shown where nobody names images: the surest mistakes, and images that
are surely right."""
_MOST_SHOWN = 12
"""Images of a folder for each of which maps are drawn."""
_AT_ONCE = 64
_LOSS_IMAGES = 256
"""Validation images on which the loss around the weights is measured."""


def see(
    run: str | Path | Run | None = None,
    parts: Sequence[str] = (),
    *,
    pretrained: str | Path | None = None,
    network: str | None = None,
    images: str | Path | None = None,
    label: str | None = None,
    layer: str | None = None,
    unit: int | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Path:
    """Make a gallery of what a network has learned; the path of its page comes back.

    Args:
        run: Run, or its folder; or published weights with `pretrained`.
        parts: Names of parts (`striate list parts`); none: all that suit the network.
        pretrained: Name of published weights, or a file of them.
        network: Network whose weights a file holds, where it has no published name.
        images: Image or folder of images; None: the surest mistakes of a run's validation split,
            and images that are surely right.
        label: Name (or number) of the class that is explained; None: the predicted one.
        layer: Layer that is shown; None: the last one with positions.
        unit: Channel of that layer that is explained instead of a class.
        out: Folder that is new or empty; None: one inside the run's folder, or under seen/.
        data: Path of the run's images, if they were moved.
        seed: Seed of all that is drawn by chance.
        reporter: Receives what happens; None: nobody.

    Raises:
        ConfigError: an unknown part, class, layer or unit, or a folder that holds something.
        RunError, DataError, CheckpointError, DownloadError.
    """
    reporter = reporter or Reporter()
    if (run is None) == (pretrained is None):
        raise ConfigError("Give a run, or published weights with --pretrained NAME: one of them.")
    chosen = _chosen(parts)
    try:
        if run is not None:
            seen = _of_run(run if isinstance(run, Run) else Run(run), images, data, reporter)
        else:
            seen = _of_weights(str(pretrained), network, images, reporter)
        folder = Path(out) if out is not None else seen.folder
        require_free(folder)
        subject = _subject(seen, label, layer, unit, seed, reporter)
        panels: list[Panel] = []
        for name in chosen:
            panels += PARTS[name](subject)
        return write_gallery(folder, subject.title, seen.facts, panels)
    finally:
        reporter.close()


def _chosen(parts: Sequence[str]) -> list[str]:
    """Names of parts, each of which exists."""
    for name in parts:
        PARTS[name]  # an unknown one is named with the nearest
    return list(dict.fromkeys(parts)) or list(PARTS)


@dataclass(frozen=True)
class _Seen:
    """A network with its images, before anything is asked."""

    network: nn.Module
    title: str
    facts: list[str]
    folder: Path
    pictures: np.ndarray
    names: list[str]
    truths: list[int | None]
    normalise: Normalisation
    class_names: tuple[str, ...]
    collection: Collection
    held_out: Collection | None = None
    loss: tuple[Callable[[nn.Module, Any], Tensor], list[Batch]] | None = None
    moments: tuple[Any, ...] = ()
    snapshots: tuple[tuple[int, Callable[[], nn.Module]], ...] = ()


def _of_run(run: Run, images: str | Path | None, data: Any, reporter: Reporter) -> _Seen:
    """The network of a run, with images of its validation split or of a person."""
    network = run.network
    dataset = data_of(run.config, data, run.path, reporter, run.fields)
    facts = [f"The run {run.path}, {run.config.network} on {dataset.title}."]
    truths: list[int | None]
    if images is None:
        split = dataset.validation
        index, words = _telling(run, split)
        pictures = np.stack([np.asarray(split.images[int(i)]) for i in index])
        names = [split.names[i] for i in index]
        labels = split.labels if "category" in split.columns else None
        truths = [None if labels is None else int(labels[i]) for i in index]
        facts.append(words)
    else:
        pictures, names = _decoded(images, spec_of(run.config.data))
        truths = [None] * len(names)
    normalise = run.normalise
    folder = run.path / "seen"
    classes = run.shape.names
    return _Seen(
        network, f"What {run.path.name} has learned", facts, folder, pictures, names, truths,
        normalise, classes,
        _collection(dataset.train, "training images", classes),
        _collection(dataset.validation, "validation images", classes),
        _loss(run, dataset.validation),
        tuple(event for event in read_events(run.folder.events) if event["event"] == "flow"),
        tuple((step, partial(_as_it_was, run, path)) for step, path in run.folder.snapshots()),
    )  # fmt: skip


def _as_it_was(run: Run, path: Path) -> nn.Module:
    """The network of a run with the weights of one of its snapshots."""
    network = whole(run.fresh_networks())
    network.load_state_dict(run.folder.read_tensors(path))
    return network.eval()


def _loss(run: Run, split: ImageSet) -> Any:
    """The loss of the run's task, and batches of some validation images."""
    if len(run.task.phases) > 1:
        return None
    index = some_of(len(split), _LOSS_IMAGES, "landscape")
    return run.task.loss_of, list(plain_batch(split, index, run.normalise).chunk(_AT_ONCE))


def _collection(split: ImageSet, words: str, classes: tuple[str, ...]) -> Collection:
    """The images of a split, with their classes where each has one."""
    labels = torch.from_numpy(split.labels.copy()) if "category" in split.columns else None
    return Collection(split.images, f"the {len(split):,} {words}", labels, classes)


def _telling(run: Run, split: ImageSet) -> tuple[list[int], str]:
    """Validation images that say most, and which these are."""
    rows: Any = load_predictions(run.folder.predictions).rows
    if "probabilities" not in rows.columns or np.ndim(rows.columns.get("labels")) != 1:
        count = min(_MISTAKES + _RIGHT, len(split))
        return list(range(count)), f"Shown are the first {count} images of the validation split."
    probabilities, labels = rows["probabilities"], rows["labels"]
    predicted, sure = probabilities.argmax(1), probabilities.max(1)
    order = np.argsort(-sure, kind="stable")
    wrong = [int(i) for i in order if predicted[i] != labels[i]][:_MISTAKES]
    right = [int(i) for i in order if predicted[i] == labels[i]]
    # Of one class each, where there are several.
    first: dict[int, int] = {}
    for i in right:
        first.setdefault(int(labels[i]), i)
    right = sorted(first.values(), key=right.index)[: _MISTAKES + _RIGHT - len(wrong)]
    words = (
        f"Shown are the {len(wrong)} surest mistakes of the validation split and {len(right)} of "
        "its surest right predictions, of a class each."
    )
    return [*wrong, *right], words


def _of_weights(
    name: str, network: str | None, images: str | Path | None, reporter: Reporter
) -> _Seen:
    """Published weights with images of a person."""
    if images is None:
        raise ConfigError(
            "Published weights bring no images; name some: --image FILE, or --image FOLDER."
        )
    file = locate_weights(name, network, reporter.progress)
    filled = fill(published_network(file.weights, file.weights.num_classes), file).eval()
    form = file.weights.preparation
    spec = ImageSpec(form.input_size, 3, resize=form.resize, interpolation=form.interpolation)
    pictures, names = _decoded(images, spec)
    facts = [f"Published weights {file.name}, licence {file.weights.licence}."]
    numbered = tuple(f"class {i}" for i in range(file.weights.num_classes))
    classes = answer_names(file.weights) or numbered
    return _Seen(
        filled, f"What {file.name} has learned", facts, Path("seen") / file_name(file.name),
        pictures, names, [None] * len(names), Normalisation(form.mean, form.deviation), classes,
        Collection(pictures, f"the {len(pictures):,} images"),
    )  # fmt: skip


def _decoded(images: str | Path, spec: ImageSpec) -> tuple[np.ndarray, list[str]]:
    """The pictures of a file or folder that could be read, and their names."""
    pictures, names, problem = [], [], ""
    for name, image in named_images(images):
        try:
            pictures.append(decode_image(image, spec))
            names.append(text_name(name))
        except BrokenImage as error:
            problem = f"{name}: {error}"
    if not pictures:
        raise DataError(problem or f"{images} holds no image.")
    return np.stack(pictures), names


def _subject(
    seen: _Seen,
    label: str | None,
    layer: str | None,
    unit: int | None,
    seed: int,
    reporter: Reporter,
) -> Subject:
    """What the parts get: the images as inputs, and what is explained for each."""
    shown = seen.pictures[:_MOST_SHOWN]
    inputs = inputs_of(shown, seen.normalise)
    network = twin(seen.network).cpu()
    chosen = layer or last_spatial_layer(network, tuple(inputs.shape[1:]))
    if chosen is not None:
        module_named(network, chosen)
    target, target_names, captions = _target(network, inputs, seen, label)
    if unit is not None:
        if chosen is None:
            raise ConfigError("No layer has positions of the image; name one with --layer.")
        target = Unit(chosen, unit)
        target_names = [f"{chosen}, unit {unit}"] * len(shown)
    return Subject(
        network=network,
        title=seen.title,
        pictures=shown,
        inputs=inputs,
        names=seen.names[: len(shown)],
        captions=captions,
        target=target,
        target_names=target_names,
        layer=chosen,
        layer_was_named=layer is not None,
        unit=unit,
        normalise=seen.normalise,
        collection=seen.collection,
        held_out=seen.held_out,
        class_names=seen.class_names,
        loss=seen.loss,
        moments=seen.moments,
        snapshots=seen.snapshots,
        seed=seed,
        progress=reporter.progress,
        say=reporter.say,
    )


def _target(
    network: nn.Module, inputs: Tensor, seen: _Seen, label: str | None
) -> tuple[Target, list[str], list[str]]:
    """What is explained for each image: a class; its name; and what is known of the image."""
    with torch.no_grad():
        outputs = outputs_of(network, inputs)
    scores = outputs.flatten(2).mean(2) if outputs.ndim > 2 else outputs
    if scores.ndim < 2 or scores.shape[1] == 1:
        return (lambda y: y.flatten(1).sum(1)), ["output"] * len(inputs), list(seen.names)
    names = seen.class_names or tuple(f"output {i}" for i in range(scores.shape[1]))
    predicted = scores.argmax(1)
    target = predicted
    if label is not None:
        target = torch.full_like(predicted, _class_index(label, names))
    captions = []
    for index, name in enumerate(seen.names[: len(inputs)]):
        truth = seen.truths[index]
        said = f"predicted {names[int(predicted[index])]}"
        truth_words = "" if truth is None else f"; it is {names[truth]}"
        captions.append(f"{Path(name).name}: {said}{truth_words}")
    return target, [names[int(i)] for i in target], captions


def _class_index(label: str, names: Sequence[str]) -> int:
    """The index of a class by name, or by number.

    Raises:
        ConfigError: there is none.
    """
    if label not in names and label.isdecimal() and int(label) < len(names):
        return int(label)
    return class_named(label, names)


def class_named(label: str, names: Sequence[str]) -> int:
    """The index of a class by name.

    Raises:
        ConfigError: there is none, with the nearest name.
    """
    if label not in names:
        raise ConfigError(unknown_name("class", label, names))
    return list(names).index(label)
