"""Feature maps of each image: those of the strongest channels of a layer."""

from collections.abc import Iterator

import numpy as np
import torch

from striate.drawing import colour
from striate.seeing.gallery import Panel, Picture
from striate.seeing.subject import Subject
from striate.seeing.twin import captured, last_call, twin

__all__ = ["maps"]

_CHANNELS = 8
"""Channels that are drawn of each image."""


def maps(subject: Subject) -> Iterator[Panel]:
    """Feature maps of a layer for each image, the strongest channels first."""
    if subject.layer is None:
        yield Panel("maps", "Feature maps", "No layer has positions of the image: there are none.")
        return
    network = twin(subject.network)
    with torch.no_grad(), captured(network, subject.layer) as layers:
        network(subject.inputs)
    found = last_call(layers, subject.layer).float().cpu().numpy()
    if found.ndim != 4:
        yield Panel(
            "maps",
            f"Feature maps of {subject.layer}",
            f"The layer gives {found.shape[1:]} for each image, without positions: there are no "
            "maps to draw. Name an earlier one with --layer.",
        )
        return
    largest, is_signed = float(np.abs(found).max()), bool((found < 0).any())
    chosen = range(found.shape[1]) if subject.unit is None else [subject.unit]
    pictures = []
    for index, of_image in enumerate(found):
        order = sorted(chosen, key=lambda channel: -np.abs(of_image[channel]).max())[:_CHANNELS]
        pictures.append(Picture(subject.pictures[index], subject.captions[index], True))
        for channel in order:
            values = of_image[channel]
            drawn = colour.signs(values, largest) if is_signed else colour.sizes(values, largest)
            pixels = colour.enlarged(drawn, subject.size)
            pictures.append(Picture(pixels, f"channel {channel}, up to {values.max():.3g}"))
    low = f"{-largest:.3g}" if is_signed else "0"
    yield Panel(
        "maps",
        f"Feature maps of {subject.layer}",
        f"Each row is an image with the {min(_CHANNELS, len(chosen))} of {found.shape[1]} channels "
        f"that are largest on it. All maps share the scale {low} to {largest:.3g}; each rectangle "
        "is one position of the layer.",
        pictures=pictures,
        columns=1 + min(_CHANNELS, len(chosen)),
        arrays={"maps": found},
    )
