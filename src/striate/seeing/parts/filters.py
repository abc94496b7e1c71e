"""Filters of the first layers as images: what they respond to."""

from collections.abc import Iterator

import numpy as np

from striate.drawing.colour import enlarged, tiled
from striate.errors import ConfigError
from striate.seeing.filters import first_filters
from striate.seeing.gallery import Panel, Picture, file_name
from striate.seeing.subject import Subject

__all__ = ["filters"]

_SIDE = 44
"""Pixels of a filter's side on the page, about."""


def filters(subject: Subject) -> Iterator[Panel]:
    """Filters of the layers that read the image, similar ones next to each other."""
    try:
        layers = first_filters(subject.network, subject.inputs)
    except ConfigError as error:
        yield Panel("filters", "Filters", str(error))
        return
    for name, found in layers.items():
        weights = found.weights[found.order].float().cpu().numpy()
        height, width = weights.shape[2:]
        scale = max(1, _SIDE // max(height, width))
        shown = (127.5 + 127.5 * weights / (found.scale or 1.0)).round().astype(np.uint8)
        # Other numbers of channels than those of a picture are shown one by one.
        are_pictures = weights.shape[1] in (1, 3)
        images = shown if are_pictures else shown.reshape(-1, 1, height, width)
        pictures = [
            enlarged(image.transpose(1, 2, 0), (scale * height, scale * width)) for image in images
        ]
        columns = max(1, min(len(pictures), 640 // (scale * width + 2)))
        yield Panel(
            f"filters-{file_name(name)}",
            f"Filters of {name or 'the first layer'}",
            f"The {len(weights)} filters of {height} × {width} pixels that read the image itself: "
            "what one looks like is what it responds to. Grey is 0, and all share the scale "
            f"{-found.scale:.3g} to {found.scale:.3g}. Similar ones stand next to each other.",
            pictures=[Picture(tiled(pictures, columns), f"filters of {name or 'the first layer'}")],
            wide=True,
            arrays={"filters": found.weights.float().cpu().numpy(), "order": found.order.numpy()},
        )
