"""Masks as people keep them: a number for each pixel, as the file stores it.

The number is a grey level or the index in a palette, of eight or sixteen bits; 0 or 255 where a
file has one bit; red · 65536 + green · 256 + blue of a colour.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt
from PIL import Image, ImageOps

from striate.data.picture import (
    BrokenImage,
    bytes_of_pixels,
    read_header,
    readable_formats,
    unreadable,
    why_broken,
)
from striate.data.source import Content, Item, Source
from striate.memory import memory_limit, require_memory

_AT_ONCE = 32
"""Images whose masks are read together."""


class StoredMask(NamedTuple):
    """The content of a mask's file, or of all files of one image, each with one object."""

    numbers: UInt[np.ndarray, "H W"]
    mode: str
    """"1", "L", "P", "I;16" or "RGB", as Pillow names them."""
    palette: tuple[int, ...] = ()
    """Red, green and blue of each index, where there is a palette."""
    num_objects: int = 0
    """Number of objects, where each has a file."""
    num_shared: int = 0
    """Pixels that belong to several objects."""


def read_mask(content: Content) -> StoredMask:
    """The mask in a file, upright.

    Raises:
        BrokenImage: It is none, or a lossy one; the message is the reason in words.
    """
    try:
        if isinstance(content, OSError):
            raise unreadable(content)
        if isinstance(content, np.ndarray):
            return _from_array(content)
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            if image.format in ("JPEG", "MPO"):
                raise BrokenImage("a JPEG file, which does not keep the ids at borders: use PNG")
            image.load()
            return _stored(ImageOps.exif_transpose(image))
    except BrokenImage:
        raise
    except Exception as error:  # Pillow's readers meet damaged bytes with errors of every kind
        raise why_broken(error, content) from None


def _from_array(values: np.ndarray) -> StoredMask:
    if values.ndim == 2 and values.dtype.kind in "iu":
        return StoredMask(_ids(values), "I;16" if values.max() > 255 else "L")
    return _stored(Image.fromarray(values))


def _stored(image: Image.Image) -> StoredMask:
    mode = image.mode
    if mode in ("LA", "RGBA"):
        if np.asarray(image.getchannel("A")).min() < 255:
            raise BrokenImage("partly transparent, where a mask has one class for each pixel")
        image = image.convert(mode[:-1])
        mode = image.mode
    if mode == "1":
        return StoredMask(np.asarray(image.convert("L")), "1")
    if mode == "P":
        return StoredMask(np.asarray(image), "P", tuple(image.getpalette("RGB") or ()))
    if mode == "RGB":
        red, green, blue = np.moveaxis(np.asarray(image, np.uint32), 2, 0)
        return StoredMask(red << 16 | green << 8 | blue, "RGB")
    if mode == "L" or mode.startswith("I"):
        return StoredMask(_ids(np.asarray(image)), "L" if mode == "L" else "I;16")
    raise BrokenImage(f"of the form {mode}; accepted: grey, palette, colour, 1 or 16 bits")


def _ids(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 2**16:
        raise BrokenImage(f"ids from {low} to {high}; accepted: 0 to 65535")
    return values.astype(np.uint8 if high < 256 else np.uint16)


def united(masks: Sequence[StoredMask]) -> StoredMask:
    """One mask of many, each of one object, which is whatever is not 0: 255 where any is.

    Raises:
        BrokenImage: Their sizes differ.
    """
    if len({mask.numbers.shape for mask in masks}) > 1:
        raise BrokenImage("the masks of its objects differ in size")
    count = np.zeros(masks[0].numbers.shape, np.int32)
    for mask in masks:
        count += mask.numbers > 0
    return StoredMask(
        np.where(count, 255, 0).astype(np.uint8),
        masks[0].mode if masks[0].mode == "1" else "L",
        num_objects=len(masks),
        num_shared=int((count > 1).sum()),
    )


def mask_name(item: Item) -> str:
    """The name of an item's mask, or of the first of its objects."""
    return (item.files or {})["mask"][0].name


def read_masks(
    source: Source, items: Sequence[Item]
) -> Iterator[tuple[int, StoredMask | BrokenImage]]:
    """The row and the mask of each item, in the order of the medium, read on all cores."""

    def read(pair: tuple[int, list[Content]]) -> tuple[int, StoredMask | BrokenImage]:
        row, contents = pair
        try:
            masks = [read_mask(content) for content in contents]
            single = "objects" not in (items[row].columns or {})
            return row, masks[0] if single else united(masks)
        except BrokenImage as error:
            return row, error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in _together(source.read_files(items, "mask")):
            yield from pool.map(read, some)


def _together(
    contents: Iterable[tuple[int, list[Content]]],
) -> Iterator[list[tuple[int, list[Content]]]]:
    """Rows and contents that are read together, as many as have room in memory."""
    some: list[tuple[int, list[Content]]] = []
    needed = 0
    for row, files in contents:
        own = sum(map(_memory, files))
        if some and (len(some) == _AT_ONCE or needed + own > memory_limit()):
            yield some
            some, needed = [], 0
        require_memory(own, f"Reading {len(files)} mask(s) of one image")
        some.append((row, files))
        needed += own
    if some:
        yield some


def _memory(content: Content) -> int:
    """Bytes that a mask takes while it is read, judged by its header."""
    if isinstance(content, OSError) or (header := read_header(content)) is None:
        return 0
    return len(content) + bytes_of_pixels(header.height * header.width, header.mode)
