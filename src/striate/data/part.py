"""Images of one split, and how they are read back from the cache."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from striate import durable
from striate.data import cache
from striate.data.chosen import ChosenImages
from striate.data.decode import ImageSpec
from striate.data.field import Column, Field, take
from striate.data.shards import shard_numbers
from striate.data.source import Source
from striate.data.streamed import Pixels, StreamedImages
from striate.errors import DataError


@dataclass(frozen=True)
class ImageSet:
    """Images of one split."""

    images: Pixels
    """uint8 (N, H, W, C), read from the disk, or decoded, as it is used."""
    columns: Mapping[str, Column]
    """Values of the other fields, by name."""
    fields: Mapping[str, Field]
    """These fields, by name."""
    names: tuple[str, ...]
    """Names of the items, as a person knows them."""
    digests: tuple[str, ...]
    """Digests of the pictures' content."""
    groups: tuple[str, ...] = ()
    """Group of each item, such as its film; none where each item stands for itself."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> np.ndarray:
        """Class index of each item (N,), int64, where the items have one class each."""
        return np.asarray(self.columns["category"])

    def targets(self, items: np.ndarray) -> dict[str, Tensor]:
        """Values of the other fields of some of the items (their indices), as a batch has them."""
        return {
            name: field.collate(take(self.columns[name], items))
            for name, field in self.fields.items()
        }

    def part(self, rows: np.ndarray) -> "ImageSet":
        """Some of the items (their indices), in that order; nothing is copied or decoded."""
        return ImageSet(
            _chosen(self.images, rows),
            {name: _values(column, rows) for name, column in self.columns.items()},
            self.fields,
            tuple(self.names[row] for row in rows.tolist()),
            tuple(self.digests[row] for row in rows.tolist()),
            tuple(self.groups[row] for row in rows.tolist()) if self.groups else (),
        )


def read_part(
    folder: Path,
    spec: ImageSpec,
    expected: dict[str, Any],
    source: Source | None,
    fields: Mapping[str, Field],
    verify: bool = False,
) -> tuple[ImageSet, tuple[str, ...]]:
    """A part of a set in the cache, and the group of each of its items.

    Args:
        folder: Folder of the part.
        spec: Form of the images.
        expected: Description that was written with the part.
        source: Source of a streamed set, whose images are decoded as they are read; None: the
            decoded images lie in the folder.
        fields: Fields of the items.
        verify: Compare streamed images with what was decoded at first.

    Raises:
        DataError: what is there is not what was written, or a streamed item is there no more.
    """
    cache.require_whole(folder, expected)
    items = json.loads(durable.read_bytes(folder / "items.json"))
    if source is None:
        shape = (expected["num_items"], *spec.shape)
        images: Pixels = cache.map_array(folder / "pixels.u8", shape)
    else:
        images = _streamed(source, spec, items, verify)
    digests = tuple(items["digests"])
    # Sets of classes alone keep the form that they have always had.
    stored = items["fields"] if "fields" in items else {"category": items["labels"]}
    columns = {
        name: _array(folder / f"{name}.array", expected["arrays"][name])
        if field.in_file
        else field.decode(stored[name])
        for name, field in fields.items()
    }
    groups = tuple(g or d for g, d in zip(items["groups"], digests, strict=True))
    kept = groups if any(items["groups"]) else ()
    return ImageSet(images, columns, fields, tuple(items["names"]), digests, kept), groups


def _array(path: Path, expected: dict[str, Any]) -> np.ndarray:
    return cache.map_array(path, tuple(expected["shape"]), expected["dtype"])


def _streamed(
    source: Source, spec: ImageSpec, items: dict[str, Any], verify: bool
) -> StreamedImages:
    by_name = {item.name: item for item in source.items}
    try:
        chosen = [by_name[name] for name in items["names"]]
    except KeyError as error:
        raise DataError(
            f"{error.args[0]} of {source.title} is there no more. Restore it, or train anew."
        ) from None
    digests = items["digests"] if verify else None
    return StreamedImages(source.read, chosen, spec, digests, shard_numbers(source, chosen))


def _chosen(images: Pixels, rows: np.ndarray) -> Pixels:
    if isinstance(images, StreamedImages):
        return images.part(rows)
    if isinstance(images, ChosenImages):
        return ChosenImages(images.stored, images.rows[rows])
    return images[_run(rows)] if _is_run(rows) else ChosenImages(images, rows)


def _values(column: Column, rows: np.ndarray) -> Column:
    """Some values of a field; neighbours on the disk stay there."""
    if isinstance(column, np.memmap) and _is_run(rows):
        return column[_run(rows)]
    return take(column, rows)


def _is_run(rows: np.ndarray) -> bool:
    return len(rows) > 0 and bool((np.diff(rows) == 1).all())


def _run(rows: np.ndarray) -> slice:
    return slice(rows[0], rows[-1] + 1)
