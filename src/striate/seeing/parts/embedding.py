"""How the network arranges images, and at which depth the classes come apart."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from striate.data.plain import input_batches
from striate.drawing.colour import KIND_WORDS, KINDS
from striate.drawing.picture import marked
from striate.errors import ConfigError, DataError
from striate.evaluation.chart import Series, line_chart
from striate.seeing.embedding import embedding as coordinates_of
from striate.seeing.feature import features
from striate.seeing.gallery import Panel, Picture
from striate.seeing.separability import separability as separable
from striate.seeing.subject import Collection, Subject

__all__ = ["embedding", "separability"]

_MOST_IMAGES = 1_000
_SIDE, _THUMBNAIL = 900, 28
"""Sides of the map and of a picture in it, pixels."""


def embedding(subject: Subject) -> Iterator[Panel]:
    """Maps of images by their features: near each other lies what the network takes for alike."""
    collection = _images(subject)
    if len(collection) < 2:
        yield Panel("embedding", "How the images are arranged", "There are too few images.")
        return
    rows = features(subject.network, input_batches(collection.pictures, subject.normalise))
    names = collection.class_names
    for method in ("pca", "tsne"):
        try:
            found = coordinates_of(rows, method, seed=subject.seed)
        except ConfigError as error:
            yield Panel(f"embedding-{method}", method, str(error))
            continue
        drawn = _map(collection, found.coordinates)
        framed = collection.labels is not None and 1 < len(names) <= len(KINDS)
        key = (
            "Frames say the class: "
            + ", ".join(f"{name} {KIND_WORDS[i]}" for i, name in enumerate(names))
            if framed
            else ""
        )
        yield Panel(
            f"embedding-{method}",
            {"pca": "Principal components", "tsne": "t-SNE"}[method] + " of the features",
            f"Of {collection.words}, the {rows.shape[1]} inputs of the last layer. {found.caption} "
            f"{key}",
            pictures=[Picture(drawn, f"{len(collection):,} images")],
            wide=True,
            arrays={"coordinates": found.coordinates.numpy()},
        )


def separability(subject: Subject) -> Iterator[Panel]:
    """Errors of linear classifiers on the features of layers, from the first to the last."""
    collection = _images(subject)
    labels = collection.labels
    if labels is None or len(set(labels.tolist())) < 2:
        yield Panel(
            "separability",
            "Where the classes come apart",
            "Images with classes are needed for it, and these have none.",
        )
        return
    batches = input_batches(collection.pictures, subject.normalise)
    try:
        rows = separable(subject.network, batches, labels)
    except DataError as error:
        yield Panel("separability", "Where the classes come apart", str(error))
        return
    points = [(float(i), 100 * row.error.value) for i, row in enumerate(rows)]
    band = [(float(i), 100 * r.error.low, 100 * r.error.high) for i, r in enumerate(rows)]
    chart = line_chart(
        [Series("error", "accent", points, band=band, dots=True)],
        x_label="layer", y_label="error, %", zero=True, unit=" %",
        x_names=[row.layer.rpartition(".")[2] or row.layer for row in rows],
    )  # fmt: skip
    lines = [
        f"{row.layer}: {100 * row.error.value:.1f} % "
        f"[{100 * row.error.low:.1f}, {100 * row.error.high:.1f}], {row.num_features} features"
        for row in rows
    ]
    yield Panel(
        "separability",
        "Where the classes come apart",
        f"The error of a linear classifier on what each layer makes of {collection.words}, "
        "averaged over positions, by cross-validation; the band is the 95 % interval.",
        notes=lines,
        chart=chart,
    )


def _images(subject: Subject) -> Collection:
    """Images that the network was not trained on, where there are some."""
    own = Collection(subject.pictures, f"the {len(subject.pictures)} images shown")
    return (subject.held_out or subject.collection or own).some(_MOST_IMAGES, "embedding")


def _map(collection: Collection, coordinates: Tensor) -> npt.NDArray[np.uint8]:
    """Thumbnails at their coordinates, the later ones on top of the earlier."""
    low, high = coordinates.amin(0), coordinates.amax(0)
    shares = (coordinates - low) / (high - low).clamp(min=1e-12)
    corners = (shares * (_SIDE - _THUMBNAIL)).round().long()
    sheet = np.zeros((_SIDE, _SIDE, 4), dtype=np.uint8)
    labels = collection.labels
    framed = labels is not None and 1 < len(collection.class_names) <= len(KINDS)
    for index, (x, y) in enumerate(corners.tolist()):
        picture = np.asarray(collection.pictures[index])
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        small = np.array(image.convert("RGB").resize((_THUMBNAIL, _THUMBNAIL)))
        if framed and labels is not None:
            small = marked(small, KINDS[int(labels[index])])
        # Upwards is larger, as on every axis.
        top = _SIDE - _THUMBNAIL - y
        sheet[top : top + _THUMBNAIL, x : x + _THUMBNAIL, :3] = small
        sheet[top : top + _THUMBNAIL, x : x + _THUMBNAIL, 3] = 255
    return sheet
