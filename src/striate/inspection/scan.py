"""Read every image of a source once: its thumbnail, its digest and what its header says."""

import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from striate.data.cache import require_room, require_writable
from striate.data.decode import THUMBNAIL, ImageSpec
from striate.data.decoding import decode_all
from striate.data.picture import Header, read_header
from striate.data.source import Content, Item, Progress, Source
from striate.data.survey import depth_of
from striate.errors import DataError
from striate.folders import cache_dir

GREY = ImageSpec((64, 64), 1, "squash")
"""Form of the images whose edges are described: of a photograph, thumbnails keep too few."""

# First bytes of a broken file by which text is distinguished from damage.
_SNIFFED = 512


class Broken(NamedTuple):
    """A file that gave no picture."""

    name: str
    reason: str
    text: bool
    """Whether it is text under the name of a picture."""


@dataclass(frozen=True)
class Scan:
    """All images of a source, in the order of their names."""

    items: list[Item]
    digests: list[str]
    sides: list[int]
    """Shorter side of each picture, pixels, as far as it was unpacked."""
    headers: list[Header]
    spread: np.ndarray
    """(N,) standard deviation of each thumbnail's grey values."""
    rows: np.ndarray
    """(N,) row of each item in `thumbnails` and in `grey`."""
    thumbnails: np.ndarray
    """(N, 32, 32, 3) uint8, in a nameless file on the disk."""
    grey: np.ndarray
    """(N, 64, 64) uint8, in another."""
    broken: list[Broken]
    bits: int
    """Bits that the values of 16-bit pictures fill."""


def scan(source: Source, progress: Progress | None = None) -> Scan:
    """Read every image of a source once.

    Args:
        source: Source of the images.
        progress: Receives how many images are done.

    Raises:
        DataError: No image can be read, or the cache's disk is full.
    """
    require_writable()
    source.fetch(progress)
    bits = depth_of(source, progress)
    spec = replace(GREY, bits=bits)
    row_bytes = math.prod(THUMBNAIL.shape) + math.prod(GREY.input_size)
    require_room(source.title, len(source.items) * row_bytes)
    headers: dict[str, Header | bool] = {}
    images: list[tuple[Item, str, int, Header, float]] = []
    broken: list[Broken] = []
    with (
        tempfile.TemporaryFile(dir=cache_dir()) as thumbnails,
        tempfile.TemporaryFile(dir=cache_dir()) as grey,
    ):
        for chunk in decode_all(_with_headers(source.stream(source.items), headers), spec):
            thumbnails.write(chunk.thumbnails.data)
            grey.write(chunk.pixels.data)
            for item, reason in chunk.broken:
                broken.append(Broken(item.name, str(reason), headers.pop(item.name, False) is True))
            spread = chunk.thumbnails.mean(3).std((1, 2)).tolist()
            rows = zip(chunk.items, chunk.digests, chunk.sides, spread, strict=True)
            for item, digest, side, deviation in rows:
                header = headers.pop(item.name)
                if not isinstance(header, Header):
                    header = Header(side, side, "unknown", "unknown")
                images.append((item, digest, side, header, deviation))
            if progress:
                progress("scanning images", len(images) + len(broken), len(source.items))
        thumbnails.flush()
        grey.flush()
        if not images:
            why = broken[0].reason if broken else "there are none"
            raise DataError(f"None of the images of {source.title} can be read: {why}.")
        num = len(images)
        # By name, so that the order of the medium leaves no trace.
        order = sorted(range(num), key=lambda i: images[i][0].name)
        ordered = zip(*(images[i] for i in order), strict=True)
        items, digests, sides, kept_headers, deviations = map(list, ordered)
        return Scan(
            items,
            digests,
            sides,
            kept_headers,
            spread=np.array(deviations, np.float32),
            rows=np.array(order, dtype=np.int64),
            thumbnails=np.memmap(thumbnails, np.uint8, "r", shape=(num, *THUMBNAIL.shape)),
            grey=np.memmap(grey, np.uint8, "r", shape=(num, *GREY.input_size)),
            broken=sorted(broken),
            bits=bits,
        )


def _with_headers(
    contents: Iterable[tuple[Item, Content]], headers: dict[str, Header | bool]
) -> Iterator[tuple[Item, Content]]:
    """Pass the contents on, and keep their headers; True stands for a text."""
    for item, content in contents:
        if not isinstance(content, OSError):
            headers[item.name] = read_header(content) or _is_text(content)
        yield item, content


def _is_text(content: bytes | np.ndarray) -> bool:
    """Whether a file begins as text does: readable letters, no control characters.

    Example:
        >>> _is_text(b"<html><body>404 Not Found"), _is_text(bytes(range(60)))
        (True, False)
    """
    start = bytes(content[:_SNIFFED])
    try:
        letters = start.decode("utf-8", "strict" if len(content) <= _SNIFFED else "ignore")
    except UnicodeDecodeError:
        return False
    readable = sum(letter.isprintable() or letter in "\t\r\n" for letter in letters)
    return len(letters) > 0 and readable >= 0.95 * len(letters)
