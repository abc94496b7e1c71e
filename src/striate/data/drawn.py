"""Pictures that were drawn on others, such as masks: how they come to lie on the upright image.

EXIF may say that an image is stored turned or mirrored. Some tools draw on the upright image,
others on the stored one. Where the sides differ, the size of what was drawn tells which of the two
it was, and it is turned with its image. Where it does not, the other items do, if they agree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from striate.data.picture import TURNS, Header, read_header
from striate.data.source import Content, Item, Source

_HEADER_BYTES = 2**16


class Alignment(NamedTuple):
    """How what was drawn on images comes to lie on them."""

    orientations: list[int]
    """EXIF's orientation by which the files of each item are turned; 1: they stay as they are."""
    problems: dict[str, str]
    """Files that do not fit, and why."""
    turned: list[str]
    """Names of the items whose files are turned."""


def align(source: Source, items: Sequence[Item], field: str) -> Alignment:
    """Compare the sizes of images with those of the files that a field reads beside them.

    Args:
        source: Source of the items, of which the headers are read.
        items: Items with such files.
        field: Name of the field.
    """
    images = {
        item.name: _header(source, item, content)
        for item, content in source.stream(items, _HEADER_BYTES)
    }
    orientations = [1] * len(items)
    problems: dict[str, str] = {}
    unclear: dict[int, int] = {}
    seen: set[bool] = set()
    for row, contents in source.read_files(items, field, _HEADER_BYTES):
        image = images.get(items[row].name)
        file = (items[row].files or {})[field][0]
        drawn = _header(source, file, contents[0])
        if image is None or drawn is None:
            continue  # reported where it is read whole
        on_stored = drawn.upright == (image.height, image.width)
        if image.orientation != 1 and on_stored and drawn.upright == image.upright:
            unclear[row] = image.orientation
        elif on_stored and image.orientation != 1:
            seen.add(True)
            orientations[row] = image.orientation
        elif drawn.upright != image.upright:
            sizes = [f"{height} × {width}" for height, width in (drawn.upright, image.upright)]
            problems[file.name] = f"{sizes[0]}, its image {sizes[1]}"
        elif image.orientation != 1:
            seen.add(False)
    for row, orientation in unclear.items():
        if seen == {True}:
            orientations[row] = orientation
        elif seen != {False}:
            problems[items[row].name] = (
                f"EXIF turns it, and the size of its {field} does not tell whether it was drawn on "
                "the turned image: save the image upright, without EXIF"
            )
    turned = [item.name for item, o in zip(items, orientations, strict=True) if o != 1]
    return Alignment(orientations, problems, turned)


def _header(source: Source, item: Item, content: Content) -> Header | None:
    header = None if isinstance(content, OSError) else read_header(content)
    if header is None and isinstance(content, bytes) and len(content) == _HEADER_BYTES:
        return read_header(source.read(item))  # a TIFF's header may lie at its end
    return header


def turn(numbers: np.ndarray, orientation: int) -> np.ndarray:
    """Numbers (H, W) that were drawn on a stored picture as those of the upright one."""
    if orientation == 1:
        return numbers
    image = Image.fromarray(numbers.astype(np.int32)).transpose(TURNS[orientation])
    return np.asarray(image).astype(numbers.dtype)
