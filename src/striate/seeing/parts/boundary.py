"""Regions in which the network decides for a class, and the plane as its last layer bends it."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from striate.data.plane import BOUND, points_of
from striate.drawing.colour import KIND_WORDS, KINDS, blended
from striate.errors import ConfigError
from striate.seeing.bent_space import bent_space
from striate.seeing.feature import head_name
from striate.seeing.gallery import Panel, Picture
from striate.seeing.region import Bounds, decision_regions, image_plane
from striate.seeing.subject import Collection, Subject

__all__ = ["boundary"]

_GRID, _SIDE = 121, 484
"""Cells along a side of the plane, and pixels of the picture."""
_IMAGE_GRID = 41
_PLANE: Bounds = (-BOUND, BOUND, -BOUND, BOUND)

Pixels = npt.NDArray[np.uint8]


def boundary(subject: Subject) -> Iterator[Panel]:
    """Regions of the classes: of points in the plane, or on the plane through three images."""
    if subject.size == (1, 2) and subject.inputs.shape[1] == 1:
        yield from _of_points(subject)
    else:
        yield from _of_images(subject)


def _of_points(subject: Subject) -> Iterator[Panel]:
    collection = subject.collection or Collection(subject.pictures, "the points shown")

    def inputs(points: Tensor) -> Tensor:
        return subject.normalise(((points + BOUND) / (2 * BOUND)).view(-1, 1, 1, 2))

    points = points_of(np.asarray(collection.pictures[: len(collection)]))
    names = list(collection.class_names)
    labels = None if collection.labels is None else collection.labels.tolist()

    def regions(network: nn.Module) -> tuple[Tensor, Pixels]:
        scores = decision_regions(network, _PLANE, (_GRID, _GRID), inputs)
        picture = _regions(scores, range(scores.shape[2]))
        return scores, _dotted(picture, points, labels, _PLANE)

    scores, picture = regions(subject.network)
    moments = [network() for _, network in subject.snapshots]
    words = _course(subject)
    yield Panel(
        "boundary",
        "Where it decides for which class",
        f"The plane from {-BOUND:g} to {BOUND:g} along both axes, x to the right and y upwards; "
        f"the paler, the less sure. Dots are {collection.words}. {_key(names)}{words}",
        pictures=[Picture(picture, "regions of the classes")],
        animation=[regions(network)[1] for network in moments],
        wide=True,
        arrays={"scores": scores.numpy()},
    )
    layer = _before_head(subject)
    if layer is None:
        return
    space = bent_space(subject.network, layer, torch.from_numpy(points), _PLANE, inputs=inputs)
    axes = (
        "Its two units are the axes."
        if space.frame.is_layer
        else f"Its {space.frame.directions.shape[1]} units are shown along the two directions in "
        f"which the points spread most ({space.frame.share:.0%} of their variance)."
    )
    course = [
        bent_space(
            network, layer, torch.from_numpy(points), _PLANE, inputs=inputs, frame=space.frame
        )
        for network in moments
    ]
    yield Panel(
        "boundary-bent",
        f"The same plane as {layer} bends it",
        f"Lines are those of a square grid over the plane, dots the same points. {axes} The last "
        f"layer cuts this space by straight lines.{words}",
        pictures=[Picture(_bent(space.lines, space.points, labels), "the bent plane")],
        animation=[_bent(state.lines, state.points, labels) for state in course],
        wide=True,
        arrays={"lines": space.lines.numpy(), "points": space.points.numpy()},
    )


def _course(subject: Subject) -> str:
    """A sentence on the moving picture, or on how one is had."""
    if not subject.snapshots:
        return " A training with --set training.flow=true can be drawn from its start on."
    steps = ", ".join(f"{step:,}" for step, _ in subject.snapshots)
    return f" The moving picture shows the steps {steps}."


def _of_images(subject: Subject) -> Iterator[Panel]:
    title = "Between three images"
    if len(subject.inputs) < 3:
        yield Panel("boundary", title, "Three images are needed to lay a plane through.")
        return
    try:
        plane = image_plane(subject.network, subject.inputs[:3], (_IMAGE_GRID, _IMAGE_GRID))
    except ConfigError as error:
        yield Panel("boundary", title, str(error))
        return
    if plane.scores.shape[2] < 2:
        yield Panel("boundary", title, "The network gives one number: there are no regions.")
        return
    winners = plane.scores.argmax(2).flatten()
    order = winners.bincount(minlength=plane.scores.shape[2]).argsort(descending=True)
    shown = [int(k) for k in order[: len(KINDS) - 1] if bool((winners == k).any())]
    names = [subject.class_name(k) for k in shown]
    picture = _regions(plane.scores, shown)
    corners = plane.corners.numpy()
    picture = _dotted(picture, corners, None, plane.bounds, radius=7)
    yield Panel(
        "boundary",
        title,
        "The plane through the first three images, as the network takes them; distances on it are "
        f"distances between images. The first image is the dot below left. {_key(names)}",
        pictures=[
            *(
                Picture(subject.pictures[i], subject.captions[i], is_photograph=True)
                for i in range(3)
            ),
            Picture(picture, "regions of the classes"),
        ],
        columns=4,
        arrays={"scores": plane.scores.numpy(), "corners": corners},
    )


def _before_head(subject: Subject) -> str | None:
    """The last layer with activations before the head; None where the head is all there is."""
    head = head_name(subject.network)
    names = [name for name, module in subject.network.named_modules() if not [*module.children()]]
    before = names[: names.index(head)] if head in names else []
    return next((name for name in reversed(before) if name), None)


def _regions(scores: Tensor, shown: Sequence[int]) -> Pixels:
    """The most probable class of each cell, the paler the less probable it is."""
    shares = scores.float().softmax(2)
    likeliest, index = shares.max(2)
    colours = np.full((scores.shape[2], 3), KINDS[-1], dtype=np.uint8)
    for number, kind in enumerate(shown):
        colours[kind] = KINDS[number]
    flat = colours[index.numpy()]
    least = 1 / scores.shape[2]
    opacity = 0.15 + 0.6 * ((likeliest.numpy() - least) / (1 - least)).clip(0, 1)
    pale = blended(np.full_like(flat, 255), flat, opacity)
    image = Image.fromarray(pale).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    return np.array(image)


def _dotted(
    picture: Pixels,
    points: npt.NDArray[np.floating],
    labels: Sequence[int] | None,
    bounds: Bounds,
    radius: float = 2.5,
) -> Pixels:
    """Points on a picture, in the colours of their classes."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    left, right, low, high = bounds
    for number, (x, y) in enumerate(points.tolist()):
        across = (x - left) / (right - left) * image.width
        down = (high - y) / (high - low) * image.height
        colour = (20, 20, 20) if labels is None else KINDS[labels[number] % len(KINDS)]
        box = (across - radius, down - radius, across + radius, down + radius)
        pen.ellipse(box, fill=colour, outline=(20, 20, 20))
    return np.asarray(image)


def _bent(lines: Tensor, points: Tensor, labels: Sequence[int] | None) -> Pixels:
    """Bent lines of a grid with points; both axes have one scale."""
    both = torch.cat([lines.flatten(0, 1), points])
    low, high = both.amin(0), both.amax(0)
    span = float((high - low).max()) or 1.0
    middle = (low + high) / 2
    left, bottom = (middle - 0.52 * span).tolist()
    bounds = (left, left + 1.04 * span, bottom, bottom + 1.04 * span)
    image = Image.new("RGB", (_SIDE, _SIDE), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for line in lines:
        across = (line[:, 0] - bounds[0]) / (bounds[1] - bounds[0]) * _SIDE
        down = (bounds[3] - line[:, 1]) / (bounds[3] - bounds[2]) * _SIDE
        path = [*zip(across.tolist(), down.tolist(), strict=True)]
        pen.line(path, fill=(190, 190, 190))
    return _dotted(np.asarray(image), points.numpy(), labels, bounds)


def _key(names: Sequence[str]) -> str:
    pairs = zip(names, KIND_WORDS, strict=False)
    return "Classes: " + ", ".join(f"{name} {word}" for name, word in pairs) + "."
