"""Evidence in each image: five kinds of maps, each with its sanity check."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from striate.drawing.colour import over_grey
from striate.seeing import attribution as methods
from striate.seeing import sanity
from striate.seeing.gallery import Panel, Picture, evidence_caption
from striate.seeing.subject import Subject

__all__ = ["attribution"]

_MOST_STEPS, _CHECK_STEPS = 64, 8
"""Steps of integrated gradients: for the map, and for its sanity check."""
_WINDOWS = 8
"""Windows of occlusion along the shorter side."""
_OPACITY = 0.75
_BRIGHTEST = 0.995
"""Share of the numbers of all images that the scale of a method holds."""

Method = Callable[[nn.Module, Tensor], Tensor]
"""A map (B, H, W) or (B, h, w) of images, by a network."""


def attribution(subject: Subject) -> Iterator[Panel]:
    """Gradient, guided backpropagation, Grad-CAM, integrated gradients and occlusion."""
    kinds, inputs = _kinds(subject), subject.inputs
    notes, columns, arrays = [], [], {}
    if not methods.has_rectifiers(subject.network, inputs[:1]):
        kinds = [kind for kind in kinds if kind.name != "guided"]
        notes.append(
            "Guided backpropagation is left out: without a rectifier (ReLU) in the network it is "
            "the gradient."
        )
    for number, kind in enumerate(kinds):
        subject.progress("attribution", number, len(kinds))
        maps = kind.method(subject.network, inputs).detach().float().cpu().numpy()
        verdict = sanity.check(subject.network, _of_network(kind.method, inputs), seed=subject.seed)
        largest = float(np.quantile(np.abs(maps), _BRIGHTEST))
        scale = f"{-largest:.3g} to {largest:.3g}" if kind.is_signed else f"0 to {largest:.3g}"
        notes.append(f"{kind.title}. {kind.how} Scale: {scale}. {verdict.sentence()}")
        columns.append(
            [
                Picture(
                    over_grey(picture, values, largest, signed=kind.is_signed, opacity=_OPACITY),
                    evidence_caption(kind.title, values),
                )
                for picture, values in zip(subject.pictures, maps, strict=True)
            ]
        )
        arrays[kind.name] = maps
    subject.progress("attribution", len(kinds), len(kinds))
    pictures = []
    for index, row in enumerate(zip(*columns, strict=True)):
        caption = f"{subject.captions[index]}. Explained: {subject.target_names[index]}"
        pictures += [Picture(subject.pictures[index], caption, is_photograph=True), *row]
    yield Panel(
        "attribution",
        "Where the evidence lies",
        "Each row is an image with its maps. The images share the scale of each kind of map, so "
        "that a pale map says little, whatever it looks like. Of each kind the maps were made "
        "again with all weights but the first layer's in random order: a kind whose maps stay the "
        "same shows the image, not what was learned.",
        notes=notes,
        pictures=pictures,
        columns=1 + len(kinds),
        arrays=arrays,
    )


class _Kind(NamedTuple):
    """A kind of map."""

    name: str
    title: str
    how: str
    """How to read it."""
    is_signed: bool
    method: Method


def _kinds(subject: Subject) -> list[_Kind]:
    target, layer = subject.target, subject.layer
    side = max(2, min(subject.size) // _WINDOWS)

    def integrated(network: nn.Module, inputs: Tensor) -> Tensor:
        # For the sanity check, on a twin, a rough map is enough.
        steps = _MOST_STEPS if network is subject.network else _CHECK_STEPS
        return methods.integrated_gradients(network, inputs, target, steps=steps).sum(1)

    def occluded(network: nn.Module, inputs: Tensor) -> Tensor:
        stride = side // 2 if network is subject.network else side
        return methods.occlusion(network, inputs, target, window=side, stride=stride)

    kinds = [
        _Kind(
            "gradient",
            "Gradient",
            "How much the number changes with each pixel; the largest over the colours. Noisy by "
            "nature.",
            False,
            lambda n, x: methods.gradient(n, x, target).abs().amax(1),
        ),
        _Kind(
            "guided",
            "Guided backpropagation",
            "The gradient without all that speaks against the number: edges that excite.",
            False,
            lambda n, x: methods.guided_backpropagation(n, x, target).abs().amax(1),
        ),
        _Kind(
            "grad_cam",
            "Grad-CAM",
            f"Where the maps of the layer {layer} speak for the number, as coarse as they are.",
            False,
            lambda n, x: methods.grad_cam(n, x, target, layer or ""),
        ),
        _Kind(
            "integrated",
            "Integrated gradients",
            "Shares of the difference to the number of an image of mean colour: orange for it, "
            "blue against it.",
            True,
            integrated,
        ),
        _Kind(
            "occlusion",
            "Occlusion",
            f"By how much the number falls when {side} × {side} pixels are covered with the mean "
            "colour: orange is needed.",
            True,
            occluded,
        ),
    ]
    # Without positions there are no maps to weigh.
    return [kind for kind in kinds if layer is not None or kind.name != "grad_cam"]


def _of_network(method: Method, inputs: Tensor) -> Callable[[nn.Module], Tensor]:
    return lambda network: method(network, inputs)
