"""A quick look at a source, before anything is decoded: how many, how large, grey or colour."""

import io
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from striate import durable
from striate.data.cache import memo_path, read_json, require_writable
from striate.data.picture import BrokenImage, open_image, readable_formats
from striate.data.source import Content, Item, Progress, Source
from striate.errors import DataError
from striate.randomness import derive_seed

__all__ = ["Survey", "survey"]

_SAMPLE = 2000
_PIXEL_SAMPLE = 64
# Holds the header of nearly every file; one with a longer preamble is read whole.
_HEADER_BYTES = 2**16
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_Header = tuple[int, int, str, str]
"""Height, width, mode and format."""


@dataclass(frozen=True)
class Survey:
    """A summary of a set's images: number, sizes, colours."""

    title: str
    class_names: tuple[str, ...]
    num_images: int
    """Files, broken ones included."""
    counts_per_class: dict[str, tuple[int, ...]]
    """For each split that the source names ("unsplit" where it names none)."""
    num_sampled: int
    """Files whose headers were read."""
    heights: tuple[int, int, int]
    """Smallest, median and largest, pixels, as stored."""
    widths: tuple[int, int, int]
    grey_share: float
    """Share of pictures without colour; pictures stored in colour are looked into."""
    modes: dict[str, int]
    """Pillow's pixel modes among the sampled files."""
    formats: dict[str, int]
    num_broken: int
    """Sampled files whose header cannot be read."""

    @property
    def smallest_class(self) -> int:
        """Images of the rarest class that a network can be trained on."""
        counts = self.counts_per_class.get("train") or self.counts_per_class["unsplit"]
        return min(counts)


def survey(source: Source, progress: Progress | None = None) -> Survey:
    """Counts from the list of items; sizes, modes and formats from up to 2,000 headers.

    The sample is seeded; test items that the source names are not looked into. What was found
    is remembered until the source changes.

    Raises:
        DataError: nothing can be learned from the source, no sampled file is an image, or
            the cache cannot be written.
    """
    memo = memo_path("survey", source.fingerprint())
    known = read_json(memo)
    if isinstance(known, dict):
        return _from_json(known, source.title)
    require_writable()
    source.fetch(progress)
    found = _look(source)
    durable.write_json(memo, asdict(found))
    return found


def _from_json(known: dict[str, Any], title: str) -> Survey:
    counts = {split: tuple(values) for split, values in known["counts_per_class"].items()}
    lists = {key: tuple(known[key]) for key in ("class_names", "heights", "widths")}
    return Survey(**{**known, **lists, "counts_per_class": counts, "title": title})


def _look(source: Source) -> Survey:
    open_items = [item for item in source.items if item.split != "test"]
    draw = random.Random(derive_seed(0, "survey"))
    sampled = draw.sample(open_items, min(_SAMPLE, len(open_items)))
    headers = _headers(source, sampled)
    known = [header for header in headers if header is not None]
    if not known:
        raise DataError(
            f"None of the {len(headers)} files looked at in {source.title} is an image that can "
            "be read."
        )
    heights, widths, modes, formats = zip(*known, strict=True)
    return Survey(
        title=source.title,
        class_names=source.class_names,
        num_images=len(source.items),
        counts_per_class=_counts(source),
        num_sampled=len(headers),
        heights=_spread(heights),
        widths=_spread(widths),
        grey_share=_grey_share(source, sampled[:_PIXEL_SAMPLE]),
        modes=dict(Counter(modes).most_common()),
        formats=dict(Counter(formats).most_common()),
        num_broken=len(headers) - len(known),
    )


def _counts(source: Source) -> dict[str, tuple[int, ...]]:
    counted: dict[str, list[int]] = {}
    for item in source.items:
        of_split = counted.setdefault(
            item.split or "unsplit", [0] * max(1, len(source.class_names))
        )
        of_split[item.label] += 1
    return {split: tuple(counts) for split, counts in counted.items()}


def _headers(source: Source, sampled: Sequence[Item]) -> list[_Header | None]:
    """The header of each item, None where the file gives no picture.

    Files whose header is not at their start, as a TIFF's may lie at its end, are read whole, in a
    second pass: a compressed archive is unpacked twice at most.
    """
    found: list[_Header | None] = []
    long = []
    for item, content in source.stream(sampled, _HEADER_BYTES):
        header = _header(content)
        if header is None and isinstance(content, bytes) and len(content) == _HEADER_BYTES:
            long.append(item)
        else:
            found.append(header)
    return found + [_header(content) for _, content in source.stream(long)]


def _header(content: Content) -> _Header | None:
    if isinstance(content, np.ndarray):
        mode = "L" if content.ndim == 2 else "RGB"
        return content.shape[0], content.shape[1], mode, "array"
    return None if isinstance(content, OSError) else _read_header(content)


def _read_header(content: bytes) -> _Header | None:
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            return image.height, image.width, image.mode, image.format or "unknown"
    except Exception:  # Pillow's readers meet damaged bytes with errors of many kinds
        return None


def _grey_share(source: Source, sampled: Sequence[Item]) -> float:
    grey = []
    for _, content in source.stream(sampled):
        if isinstance(content, OSError):
            continue
        try:
            image = open_image(content)
        except BrokenImage:
            continue
        if image.mode == "L":
            grey.append(True)
            continue
        red, green, blue = np.moveaxis(np.asarray(image), -1, 0)
        grey.append(bool(np.array_equal(red, green) and np.array_equal(green, blue)))
    return sum(grey) / len(grey) if grey else 0.0


def _spread(values: Sequence[int]) -> tuple[int, int, int]:
    return min(values), int(np.median(values)), max(values)
