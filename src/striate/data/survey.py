"""Survey a source before anything is decoded: how many images, how large, grey or colour."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from striate.data.cache import memo_path, read_memo, require_writable, write_memo
from striate.data.decode import THUMBNAIL
from striate.data.decoding import decode_all
from striate.data.picture import (
    FULL_DEPTH,
    BrokenImage,
    Header,
    largest_value,
    open_image,
    read_header,
    unreadable,
)
from striate.data.source import Item, Progress, Source
from striate.data.spelling import counted
from striate.errors import DataError
from striate.randomness import derive_seed
from striate.typed_json import JsonRecord

_SAMPLE = 2000
_PIXEL_SAMPLE = 64
_DEEP_SAMPLE = 512
_DEPTHS = (8, 10, 12, 14)
"""Bits in which sensors count; files keep them in 16."""
_COLOURLESS = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})
"""Pillow's pixel modes without colour."""
# Holds the header of nearly every file; one with a longer preamble is read whole.
_HEADER_BYTES = 2**16


@dataclass(frozen=True)
class Survey(JsonRecord):
    """Counts and sizes of a set's images."""

    title: str
    class_names: tuple[str, ...]
    num_images: int
    """Files, broken ones included."""
    counts_per_class: dict[str, tuple[int, ...]]
    """Images of each class, for each split that the source names, else for "unsplit"."""
    num_sampled: int
    """Files whose headers were read."""
    heights: tuple[int, int, int]
    """Smallest, median and largest, pixels, as stored."""
    widths: tuple[int, int, int]
    grey_share: float
    """Share of pictures without colour, whatever mode they are stored in."""
    modes: dict[str, int]
    """Pillow's pixel modes among the sampled files."""
    formats: dict[str, int]
    num_broken: int
    """Sampled files whose header cannot be read."""
    bits: int | None = None
    """Bits that the values of 16-bit pictures fill, in the sample; None: no such pictures."""
    largest: int | None = None
    """Largest of these values."""

    @property
    def num_outputs(self) -> int:
        """Numbers that a network gives for an image: one for each class, one without classes."""
        return max(1, len(self.class_names))


def survey(source: Source, progress: Progress | None = None) -> Survey:
    """Survey a source: counts from its list of items; sizes and formats from up to 2,000 headers.

    The sample is seeded; test items that the source names are not opened. The survey is
    remembered until the source changes.

    Args:
        source: Source of the images.
        progress: Receives how much is fetched.

    Raises:
        DataError: Nothing can be learned from the source, no sampled file is an image, or
            the cache cannot be written.
    """
    memo = memo_path("survey 2", source.fingerprint(), source.limit)
    known = read_memo(memo)
    if isinstance(known, dict):
        with suppress(DataError):  # a damaged memo is made anew
            return Survey.from_json({**known, "title": source.title})
    require_writable()
    source.fetch(progress)
    surveyed, lasting = _survey(source, progress)
    if lasting:
        write_memo(memo, surveyed.to_json())
    return surveyed


def depth_of(source: Source, progress: Progress | None = None) -> int:
    """Bits that the values of 16-bit pictures fill, as far as those outside the test split tell.

    Args:
        source: Source of the images.
        progress: Receives how much is fetched.

    Raises:
        DataError: as `survey` does.
    """
    if all(item.split == "test" for item in source.items):
        return FULL_DEPTH
    return survey(source, progress).bits or FULL_DEPTH


def _survey(source: Source, progress: Progress | None) -> tuple[Survey, bool]:
    """The survey, and whether no file was unreadable for a reason outside it."""
    open_items = [item for item in source.items if item.split != "test"]
    draw = random.Random(derive_seed(0, "survey"))
    sampled = draw.sample(open_items, min(_SAMPLE, len(open_items)))
    headers, lasting = _headers(source, sampled)
    if not headers:
        raise DataError(
            f"None of the {len(sampled)} sampled files of {source.title} is an image that can be "
            f"read: {counted(_reasons(source, sampled[:_PIXEL_SAMPLE]))}."
        )
    heights, widths, modes, formats, _ = zip(*(header for _, header in headers), strict=True)
    deep = [item for item, header in headers if header.mode.startswith("I")]
    largest = _largest(source, deep[:_DEEP_SAMPLE]) if deep else None
    counts: dict[str, list[int]] = {}
    for item in source.items:
        of_split = counts.setdefault(item.split or "unsplit", [0] * max(1, len(source.class_names)))
        of_split[item.label] += 1
    grey = list(_is_grey(source, sampled[:_PIXEL_SAMPLE]))
    if grey and all(grey):
        # A few coloured pictures among many grey ones are in no small sample.
        grey = list(_all_grey(source, open_items, progress))
    surveyed = Survey(
        title=source.title,
        class_names=source.class_names,
        num_images=len(source.items),
        counts_per_class={split: tuple(of_split) for split, of_split in counts.items()},
        num_sampled=len(sampled),
        heights=spread(heights),
        widths=spread(widths),
        grey_share=sum(grey) / len(grey) if grey else 0.0,
        modes=dict(Counter(modes).most_common()),
        formats=dict(Counter(formats).most_common()),
        num_broken=len(sampled) - len(headers),
        bits=next((b for b in _DEPTHS if largest < 2**b), FULL_DEPTH) if largest else None,
        largest=largest,
    )
    return surveyed, lasting


def _headers(source: Source, sampled: Sequence[Item]) -> tuple[list[tuple[Item, Header]], bool]:
    """Headers of the readable files, and whether no other was so for a reason outside it.

    Files whose header is not at their start, as a TIFF's may lie at its end, are read whole, in a
    second pass: a compressed archive is unpacked twice at most.
    """
    long: list[Item] = []
    headers: list[tuple[Item, Header]] = []
    lasting = True
    for chosen, limit in ((sampled, _HEADER_BYTES), (long, None)):
        for item, content in source.stream(chosen, limit):
            if isinstance(content, OSError):
                lasting &= not unreadable(content).is_outside
            elif (header := read_header(content)) is not None:
                headers.append((item, header))
            elif isinstance(content, bytes) and len(content) == limit:
                long.append(item)
    return headers, lasting


def _reasons(source: Source, sampled: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """Name and reason of each file that gives no picture."""
    for item, content in source.stream(sampled):
        try:
            if isinstance(content, OSError):
                raise unreadable(content)
            open_image(content)
        except BrokenImage as error:
            yield item.name, str(error)


def _largest(source: Source, deep: Sequence[Item]) -> int:
    """The largest value of 16-bit pictures; those that follow one of full depth are not read."""
    largest = 0
    for _, content in source.stream(deep):
        if isinstance(content, bytes):
            largest = max(largest, largest_value(content))
        if largest >= 2 ** _DEPTHS[-1]:
            break
    return largest


def _is_grey(source: Source, sampled: Sequence[Item]) -> Iterator[bool]:
    """For each readable picture, whether it shows no colour."""
    for _, content in source.stream(sampled):
        with suppress(BrokenImage):
            if not isinstance(content, OSError):
                image = open_image(content)
                pixels = np.asarray(image)
                yield image.mode == "L" or bool((pixels == pixels[..., :1]).all())


def _all_grey(source: Source, items: Sequence[Item], progress: Progress | None) -> Iterator[bool]:
    """For each readable picture, whether it shows no colour, as far as the first that does.

    Most are known by their headers; the others are decoded.
    """
    unknown: list[Item] = []
    for item, content in source.stream(items, _HEADER_BYTES):
        header = None if isinstance(content, OSError) else read_header(content)
        if header is not None and header.mode in _COLOURLESS:
            yield True
        else:
            unknown.append(item)
    done = 0
    for chunk in decode_all(source.stream(unknown), THUMBNAIL):
        coloured = (chunk.pixels != chunk.pixels[..., :1]).any((1, 2, 3))
        yield from (~coloured).tolist()
        if coloured.any():
            return
        done += chunk.num_items
        if progress:
            progress("looking for colour", done, len(unknown))


def spread(values: Sequence[int]) -> tuple[int, int, int]:
    """The smallest, the median and the largest of whole numbers."""
    return min(values), int(np.median(values)), max(values)
