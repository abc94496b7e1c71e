"""The part of a set that a network from elsewhere is measured on, decoded as that network asks.

The test split is taken where the source names one, and stays sealed until it is opened; else the
validation split that it names; else all images.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.build import content_digest
from striate.data.cache import require_room, require_writable
from striate.data.dataset import BrokenFile
from striate.data.decode import ImageSpec
from striate.data.decoding import decode_all
from striate.data.field import Category
from striate.data.part import ImageSet
from striate.data.seal import SealedSplit
from striate.data.source import Item, Progress, Source, Split
from striate.errors import DataError
from striate.folders import cache_dir


@dataclass(frozen=True)
class MeasuredPart:
    """Images that a network is measured on."""

    split: Split | None
    """The split that the source names; None: all of its images."""
    content: ImageSet | SealedSplit
    """Sealed where it is the test split."""
    broken: tuple[BrokenFile, ...]


def measured_part(
    source: Source, spec: ImageSpec, progress: Progress | None = None
) -> MeasuredPart:
    """Decode the part of a source that a network from elsewhere is measured on.

    Args:
        source: Source; the labels of its items are kept as they are.
        spec: Form of the images.
        progress: Receives how many images are done.

    Raises:
        DataError: no image can be read, or the cache cannot be written or is full.
    """
    require_writable()
    source.fetch(progress)
    split, items = _choose(source)
    images, broken = _decode(source, items, spec, progress)
    if split != "test":
        return MeasuredPart(split, images, broken)
    names = source.class_names
    lines = [f"{names[k]}\0{d}" for k, d in zip(images.labels, images.digests, strict=True)]
    sealed = SealedSplit(content_digest(lines), len(images), lambda: images)
    return MeasuredPart(split, sealed, broken)


def _choose(source: Source) -> tuple[Split | None, Sequence[Item]]:
    order: tuple[Split, ...] = ("test", "validation")
    for split in order:
        if chosen := [item for item in source.items if item.split == split]:
            return split, chosen
    return None, source.items


def _decode(
    source: Source, items: Sequence[Item], spec: ImageSpec, progress: Progress | None
) -> tuple[ImageSet, tuple[BrokenFile, ...]]:
    """Pixels go to a nameless file, so that a large set needs no memory."""
    kept: list[tuple[Item, str]] = []
    broken: list[BrokenFile] = []
    require_room(source.title, len(items) * math.prod(spec.shape))
    with tempfile.TemporaryFile(dir=cache_dir()) as stream:
        for chunk in decode_all(source.stream(items), spec):
            stream.write(chunk.pixels.data)
            kept += zip(chunk.items, chunk.digests, strict=True)
            broken += [BrokenFile(item.name, str(why), item.split) for item, why in chunk.broken]
            if progress:
                progress("decoding images", len(kept) + len(broken), len(items))
        stream.flush()
        if not kept:
            reason = broken[0].reason if broken else "there are none"
            raise DataError(f"None of the images of {source.title} can be read: {reason}.")
        images = np.memmap(stream, np.uint8, "r", shape=(len(kept), *spec.shape))
    labels = np.array([item.label for item, _ in kept], dtype=np.int64)
    names = tuple(item.name for item, _ in kept)
    fields = {"category": Category(source.class_names)}
    digests = tuple(d for _, d in kept)
    return ImageSet(images, {"category": labels}, fields, names, digests), tuple(broken)
