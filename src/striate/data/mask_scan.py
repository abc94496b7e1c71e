"""A scan of the masks that may be looked at: which numbers they hold, and which are at fault."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from striate import durable
from striate.data.cache import memo_path, read_json, require_writable
from striate.data.mask_file import StoredMask, orientations, read_masks
from striate.data.picture import BrokenImage
from striate.data.source import Item, Source
from striate.typed_json import JsonRecord


@dataclass(frozen=True)
class MaskScan(JsonRecord):
    """What the masks of the training and validation images hold."""

    num: int
    """Masks that could be read."""
    pixels: dict[int, int]
    """Pixels of each stored number."""
    images: dict[int, int]
    """Masks in which it occurs."""
    modes: dict[str, int]
    """Masks of each form, by Pillow's name."""
    palette: tuple[int, ...]
    """Red, green and blue of each index, of the first mask that has a palette."""
    constant: tuple[str, ...]
    """Images whose mask is of one number."""
    turned: tuple[str, ...]
    """Images whose masks are turned with them, as EXIF says."""
    problems: dict[str, str]
    """Masks that cannot be used, and why."""
    num_objects: int
    """Objects, where each has a file of its own."""
    num_shared: int
    """Pixels that belong to several objects."""

    @property
    def mode(self) -> str:
        """The most frequent form."""
        return max(self.modes, key=lambda mode: (self.modes[mode], mode), default="L")


def masked_items(source: Source) -> list[Item]:
    """The items with masks that may be looked at: all outside the test split of the source."""
    return [item for item in source.items if item.split != "test" and "mask" in (item.files or {})]


def scan_masks(source: Source) -> MaskScan:
    """Scan all masks outside the test split; remembered until the source changes."""
    memo = memo_path("masks", source.fingerprint())
    known = read_json(memo)
    if isinstance(known, dict):
        return MaskScan.from_json(known)
    require_writable()
    scan = _scan(source)
    durable.write_json(memo, scan.to_json())
    return scan


def _scan(source: Source) -> MaskScan:
    items = masked_items(source)
    _, problems, turned = orientations(source, items)
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    modes: Counter[str] = Counter()
    palette: tuple[int, ...] = ()
    constant = []
    num_objects = num_shared = 0
    for row, mask in read_masks(source, items):
        if isinstance(mask, BrokenImage):
            problems[(items[row].files or {})["mask"][0].name] = str(mask)
            continue
        numbers, counts = _counted(mask)
        pixels.update(dict(zip(numbers, counts, strict=True)))
        images.update(numbers)
        modes[mask.mode] += 1
        palette = palette or mask.palette
        num_objects += mask.num_objects or 0
        num_shared += mask.num_shared
        if len(numbers) == 1:
            constant.append(items[row].name)
    coloured = modes["RGB"]
    if coloured and coloured < modes.total():
        problems[source.title] = (
            f"{coloured} masks hold colours and {modes.total() - coloured} ids: save all alike"
        )
    return MaskScan(
        modes.total(),
        dict(sorted(pixels.items())),
        dict(sorted(images.items())),
        dict(modes),
        palette,
        tuple(sorted(constant)),
        tuple(turned),
        dict(sorted(problems.items())),
        num_objects,
        num_shared,
    )


def _counted(mask: StoredMask) -> tuple[list[int], list[int]]:
    if mask.numbers.dtype == np.uint8:
        counts = np.bincount(mask.numbers.reshape(-1), minlength=256)
        numbers = np.flatnonzero(counts)
        counts = counts[numbers]
    else:
        numbers, counts = np.unique(mask.numbers, return_counts=True)
    return numbers.tolist(), counts.tolist()
