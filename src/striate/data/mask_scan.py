"""A scan of masks: which numbers they hold, and which are at fault."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from striate.data.cache import memo_path, read_memo, require_writable, write_memo
from striate.data.drawn import align
from striate.data.mask_file import mask_name, read_masks
from striate.data.picture import BrokenImage
from striate.data.source import Item, Source
from striate.errors import DataError
from striate.typed_json import JsonRecord


@dataclass(frozen=True)
class MaskScan(JsonRecord):
    """The content of masks, taken together."""

    modes: dict[str, int] = field(default_factory=dict)
    """Masks of each form, by Pillow's name."""
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Pixels of each stored number, and masks in which it occurs, the smallest number first."""
    palette: tuple[int, ...] = ()
    """Red, green and blue of each index, of the longest palette."""
    constant: tuple[str, ...] = ()
    """Images whose mask holds one number alone."""
    turned: tuple[str, ...] = ()
    """Images with which their masks are turned, as EXIF says."""
    problems: dict[str, str] = field(default_factory=dict)
    """Masks that cannot be used, and why."""

    @property
    def mode(self) -> str:
        """The most frequent form."""
        return max(self.modes, key=lambda mode: (self.modes[mode], mode), default="L")

    @property
    def num(self) -> int:
        """Masks that could be read."""
        return sum(self.modes.values())


def scan_masks(source: Source, items: Sequence[Item]) -> MaskScan:
    """Scan the masks of some items; remembered until the source changes."""
    memo = memo_path("mask scan", source.fingerprint(), [item.name for item in items])
    known = read_memo(memo)
    if isinstance(known, dict):
        with suppress(DataError):  # a damaged memo is made anew
            return MaskScan.from_json(known)
    require_writable()
    scan, lasting = _scan(source, items)
    if lasting:
        write_memo(memo, scan.to_json())
    return scan


def _scan(source: Source, items: Sequence[Item]) -> tuple[MaskScan, bool]:
    """The scan, and whether no mask was unreadable for a reason outside it."""
    lasting = True
    _, problems, turned = align(source, items, "mask")
    pixels: Counter[int] = Counter()
    masks: Counter[int] = Counter()
    modes: Counter[str] = Counter()
    palette: tuple[int, ...] = ()
    colours: dict[int, tuple[int, ...]] = {}
    constant = []
    for row, mask in read_masks(source, items):
        if isinstance(mask, BrokenImage):
            problems[mask_name(items[row])] = str(mask)
            lasting &= not mask.is_outside
            continue
        columns = np.unique(mask.numbers, return_counts=True)
        numbers, counts = (each.tolist() for each in columns)
        pixels.update(dict(zip(numbers, counts, strict=True)))
        masks.update(numbers)
        modes[mask.mode] += 1
        palette = max(palette, mask.palette, key=len)
        own = {n: mask.palette[3 * n : 3 * n + 3] for n in numbers if mask.palette}
        if any(colours.setdefault(n, colour) != colour for n, colour in own.items()):
            problems[mask_name(items[row])] = (
                "its palette has other colours than that of other masks: save it with their "
                "palette, or all as colours"
            )
        if len(numbers) == 1:
            constant.append(items[row].name)
    clashes = [form for form, clash in (("RGB", True), ("1", 1 in pixels)) if clash and modes[form]]
    if clashes and len(modes) > 1:
        problems[source.title] = "masks of several forms: " + ", ".join(
            f"{num:,} of {mode}" for mode, num in modes.most_common()
        )
    scan = MaskScan(
        dict(modes),
        {number: (pixels[number], masks[number]) for number in sorted(pixels)},
        palette,
        tuple(sorted(constant)),
        tuple(turned),
        dict(sorted(problems.items())),
    )
    return scan, lasting
