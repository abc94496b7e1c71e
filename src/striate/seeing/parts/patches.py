"""Patches of images that excite units, by their receptive fields, and their projections."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from striate.data.plain import input_batches, inputs_of
from striate.drawing.colour import tiled
from striate.seeing.attribution import deconvnet as project
from striate.seeing.attribution import has_rectifiers
from striate.seeing.gallery import Panel, Picture, file_name
from striate.seeing.patches import Patches, top_patches
from striate.seeing.separability import layers_over_depth
from striate.seeing.subject import Collection, Subject
from striate.seeing.target import Unit

__all__ = ["deconvnet", "patches"]

_UNITS, _PROJECTED = 8, 4
"""Units of each layer that are shown: alone, and with projections."""
_EACH, _IN_A_ROW = 9, 3
_SIDE = 64
"""Largest side of a patch on the page, pixels."""
_MOST_IMAGES = 2_000

_NO_PLACE = (
    "This says what a unit responds to. It does not say where a class is: that is no better than "
    "pointing at the middle (TorchRay, VOC 2007, VGG-16: 67.5 % for the projection, 69.6 % for the "
    "middle)."
)

Pixels = npt.NDArray[np.uint8]


def patches(subject: Subject) -> Iterator[Panel]:
    """For units of several layers the image patches that excite them most."""
    collection, found = subject.once("patches", lambda: _seek(subject))
    for layer, best in found.items():
        chosen = _units(subject, best, _UNITS)
        pictures = [
            Picture(_sheet(_patches(collection, best, unit)), _words(best, unit)) for unit in chosen
        ]
        yield Panel(
            f"patches-{file_name(layer)}",
            f"What excites units of {layer}",
            f"For {_chosen(subject, chosen, best)} the "
            f"{best.values.shape[1]} patches of {collection.words} in which it is largest, one of "
            f"each image, cut out by the unit's receptive field of {_field(best)} pixels. "
            f"{_dead(best)}",
            pictures=pictures,
            arrays=_arrays(best),
        )


def deconvnet(subject: Subject) -> Iterator[Panel]:
    """The patches beside what in them excites the unit, by Zeiler and Fergus's projection."""
    if not has_rectifiers(subject.network, subject.inputs[:1]):
        yield Panel(
            "deconvnet",
            "Projections of units",
            "The network has no rectifier (ReLU), and without one the projection is the gradient.",
        )
        return
    collection, found = subject.once("patches", lambda: _seek(subject))
    for layer, best in found.items():
        chosen = _units(subject, best, _PROJECTED)
        pictures = []
        for done, unit in enumerate(chosen):
            subject.progress(f"projecting {layer}", done, len(chosen))
            pictures += [
                Picture(_sheet(_patches(collection, best, unit)), _words(best, unit)),
                Picture(_sheet(_projections(subject, collection, best, layer, unit)), "projected"),
            ]
        subject.progress(f"projecting {layer}", len(chosen), len(chosen))
        yield Panel(
            f"deconvnet-{file_name(layer)}",
            f"What excites units of {layer}, projected back to the image",
            f"Of {_chosen(subject, chosen, best)} the strongest patches, and what the unit "
            "responds to in them: its value alone sent back through transposed convolutions, to "
            "where the maxima came from, and rectified on the way. Grey is 0; the nine of a unit "
            f"share their scale. {_NO_PLACE}",
            pictures=pictures,
            columns=4,
        )


def _seek(subject: Subject) -> tuple[Collection, dict[str, Patches]]:
    """The images, and the patches of them that excite units of each layer."""
    own = Collection(subject.pictures, f"the {len(subject.pictures)} images shown")
    collection = (subject.collection or own).some(_MOST_IMAGES, "patches")
    layers = [] if subject.layer is None else [subject.layer]
    if not subject.layer_was_named:
        layers = [
            name
            for name in layers_over_depth(subject.network, subject.inputs[:1])
            if _has_positions(subject, name)
        ] or layers
    if not layers:
        return collection, {}
    subject.say(
        f"Seeking what excites units: {len(layers)} layer(s), {len(collection):,} images, one pass."
    )
    batches = input_batches(
        collection.pictures, subject.normalise, partial(subject.progress, "seeking patches")
    )
    found = top_patches(subject.network, batches, layers, k=min(_EACH, len(collection)))
    return collection, {layer: found[layer] for layer in layers}


def _has_positions(subject: Subject, layer: str) -> bool:
    from striate.seeing.patches import maps_of

    maps = maps_of(subject.network, subject.inputs[:1], layer)[layer]
    return maps.ndim == 4 and maps[0, 0].numel() > 1


def _units(subject: Subject, best: Patches, most: int) -> list[int]:
    """The unit that was asked for, or the strongest that are not dead."""
    if subject.unit is not None:
        return [subject.unit]
    order = best.values[:, 0].argsort(descending=True).tolist()
    return [unit for unit in order if not best.dead[unit]][:most]


def _chosen(subject: Subject, chosen: Sequence[int], best: Patches) -> str:
    if subject.unit is not None:
        return f"channel {subject.unit}"
    return f"{len(chosen)} of {len(best.values)} channels, those that reach the largest values,"


def _patches(collection: Collection, best: Patches, unit: int) -> list[Pixels]:
    return [
        _cut(np.asarray(collection.pictures[int(image)]), best.unbounded[unit, rank].tolist())
        for rank, image in enumerate(best.images[unit])
    ]


def _projections(
    subject: Subject, collection: Collection, best: Patches, layer: str, unit: int
) -> list[Pixels]:
    """What excites a unit in each of its patches, as pictures around grey."""
    maps = []
    for rank, image in enumerate(best.images[unit].tolist()):
        inputs = inputs_of(np.asarray(collection.pictures[image])[None], subject.normalise)
        position = tuple(best.positions[unit, rank].tolist())
        maps.append(project(subject.network, inputs, Unit(layer, unit, position))[0])
    largest = float(torch.stack(maps).abs().max()) or 1.0
    cut = []
    for rank, signal in enumerate(maps):
        shown = (127.5 + 127.5 * signal / largest).clamp(0, 255).byte().permute(1, 2, 0).numpy()
        cut.append(_cut(shown, best.unbounded[unit, rank].tolist()))
    return cut


def _cut(picture: Pixels, box: Sequence[int]) -> Pixels:
    """A box of a picture, grey where it leaves it, with sides of 64 pixels at most."""
    top, left, bottom, right = box
    patch = np.full((bottom - top, right - left, picture.shape[2]), 127, dtype=np.uint8)
    rows = slice(max(0, top), min(picture.shape[0], bottom))
    columns = slice(max(0, left), min(picture.shape[1], right))
    inside = picture[rows, columns]
    patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = inside
    image = Image.fromarray(patch[..., 0] if patch.shape[2] == 1 else patch).convert("RGB")
    longest = max(image.size)
    if longest < _SIDE:  # whole pixels become squares
        factor = _SIDE // longest
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    elif longest > _SIDE:
        image.thumbnail((_SIDE, _SIDE))
    return np.asarray(image)


def _sheet(cut: list[Pixels]) -> Pixels:
    return tiled(cut, _IN_A_ROW)


def _words(best: Patches, unit: int) -> str:
    values = best.values[unit]
    return f"channel {unit}: {values[0]:.3g} to {values[-1]:.3g}"


def _field(best: Patches) -> str:
    top, left, bottom, right = best.unbounded[0, 0].tolist()
    return f"{bottom - top} × {right - left}"


def _dead(best: Patches) -> str:
    count = int(best.dead.sum())
    return f"{count} of the channels were never above 0 on them." if count else ""


def _arrays(best: Patches) -> dict[str, npt.NDArray[np.generic]]:
    return {
        "values": best.values.numpy(),
        "images": best.images.numpy(),
        "positions": best.positions.numpy(),
        "boxes": best.boxes.numpy(),
    }
