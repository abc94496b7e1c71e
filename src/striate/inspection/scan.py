"""One pass over a source: every picture becomes a thumbnail, a digest and a few plain facts."""

import io
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from striate.data.cache import require_room, require_writable
from striate.data.decode import THUMBNAIL, ImageSpec
from striate.data.decoding import decode_all
from striate.data.picture import readable_formats
from striate.data.source import Content, Item, Progress, Source
from striate.errors import DataError
from striate.places import cache_dir

__all__ = ["GREY", "Broken", "Header", "Scan", "scan"]

GREY = ImageSpec((64, 64), 1, "squash")
"""The form in which edges are looked at: of a photograph, thumbnails keep too few."""

# So much of a file that is no picture is looked into to tell text from damage.
_SNIFFED = 512


class Header(NamedTuple):
    """The header of a picture, read before it is unpacked."""

    height: int
    width: int
    mode: str
    format: str


class Broken(NamedTuple):
    """A file that gave no picture."""

    name: str
    reason: str
    text: bool
    """Whether it is text under the name of a picture."""


@dataclass
class Scan:
    """The result of one pass over the items, in the order of their names."""

    items: list[Item] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    thumbnails: np.ndarray = field(default_factory=lambda: np.zeros((0, 32, 32, 3), np.uint8))
    """(N, 32, 32, 3) uint8, in a nameless file on the disk."""
    grey: np.ndarray = field(default_factory=lambda: np.zeros((0, 64, 64), np.uint8))
    """(N, 64, 64) uint8, in another."""
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Where the thumbnail and the grey picture of each item lie."""
    spread: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """(N,) deviation of each thumbnail's grey values."""
    level: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """(N,) mean grey value."""


def scan(source: Source, progress: Progress | None = None) -> Scan:
    """Read every image of a source once.

    Args:
        source: whatever it holds; nothing is said of labels.
        progress: told how many images are done.

    Raises:
        DataError: no image can be read, or the cache's disk is full.
    """
    require_writable()
    source.fetch(progress)
    shape = THUMBNAIL.shape
    edges = GREY.input_size
    require_room(source.title, len(source.items) * int(np.prod(shape) + np.prod(edges)))
    headers: dict[str, Header | bool] = {}
    seen, spread, level = Scan(), [], []
    with (
        tempfile.TemporaryFile(dir=cache_dir()) as stream,
        tempfile.TemporaryFile(dir=cache_dir()) as second,
    ):
        done = 0
        for chunk in decode_all(_noted(source.stream(source.items), headers), GREY):
            stream.write(chunk.thumbnails.data)
            second.write(chunk.pixels.data)
            for item, reason in chunk.broken:
                seen.broken.append(Broken(item.name, reason, headers.pop(item.name, False) is True))
            for item, side in zip(chunk.items, chunk.sides, strict=True):
                header = headers.pop(item.name, False)
                known = isinstance(header, Header)
                seen.headers.append(header if known else Header(side, side, "unknown", "unknown"))  # type: ignore[arg-type]
            for thumbnail in chunk.thumbnails:
                grey = thumbnail.mean(2)
                spread.append(grey.std())
                level.append(grey.mean())
            seen.items += chunk.items
            seen.digests += chunk.digests
            seen.sides += chunk.sides
            done += chunk.num_items
            if progress:
                progress("looking at images", done, len(source.items))
        stream.flush()
        second.flush()
        if not seen.items:
            reason = seen.broken[0].reason if seen.broken else "there are none"
            raise DataError(f"None of the images of {source.title} can be read: {reason}.")
        num = len(seen.items)
        seen.thumbnails = np.memmap(stream, dtype=np.uint8, mode="r", shape=(num, *shape))
        seen.grey = np.memmap(second, dtype=np.uint8, mode="r", shape=(num, *edges))
    return _by_name(seen, np.array(spread, np.float32), np.array(level, np.float32))


def _by_name(seen: Scan, spread: np.ndarray, level: np.ndarray) -> Scan:
    """In the order of the names, so that the order of the medium leaves no trace."""
    order = sorted(range(len(seen.items)), key=lambda i: seen.items[i].name)
    return Scan(
        items=[seen.items[i] for i in order],
        digests=[seen.digests[i] for i in order],
        sides=[seen.sides[i] for i in order],
        headers=[seen.headers[i] for i in order],
        broken=sorted(seen.broken),
        thumbnails=seen.thumbnails,
        grey=seen.grey,
        rows=np.array(order, dtype=np.int64),
        spread=spread[order],
        level=level[order],
    )


def _noted(
    contents: Iterable[tuple[Item, Content]], headers: dict[str, Header | bool]
) -> Iterator[tuple[Item, Content]]:
    """The contents as they pass, their headers written down; True stands for a text."""
    for item, content in contents:
        if isinstance(content, np.ndarray):
            mode = "L" if content.ndim == 2 else "RGB"
            headers[item.name] = Header(content.shape[0], content.shape[1], mode, "array")
        elif isinstance(content, bytes):
            headers[item.name] = _header(content) or _is_text(content)
        yield item, content


def _header(content: bytes) -> Header | None:
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            return Header(image.height, image.width, image.mode, image.format or "unknown")
    except Exception:  # Pillow's readers meet damaged bytes with errors of many kinds
        return None


def _is_text(content: bytes) -> bool:
    """Whether a file begins as text does: readable letters, no control characters.

    Example:
        >>> _is_text(b"<html><body>404 not found"), _is_text(bytes(range(60)))
        (True, False)
    """
    start: Any = content[:_SNIFFED]
    try:
        letters = start.decode("utf-8", "strict" if len(content) <= _SNIFFED else "ignore")
    except UnicodeDecodeError:
        return False
    readable = sum(letter.isprintable() or letter in "\t\r\n" for letter in letters)
    return len(letters) > 0 and readable >= 0.95 * len(letters)
