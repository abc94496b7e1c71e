"""Pictures decoded on all cores, in the order in which their contents come.

Photographs are decoded on threads, for the decoder works outside the interpreter's lock. With small
pictures most of the work is the interpreter's own and threads wait for each other: there helper
processes decode, as soon as there are pictures enough to pay for starting them.
"""

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from striate.data.decode import THUMBNAIL, ImageSpec, decode_with_digest
from striate.data.helpers import Helpers, may_help
from striate.data.picture import BrokenImage
from striate.data.source import Content, Item

__all__ = ["Chunk", "decode_all"]

# A chunk is what one task decodes: large enough that handing it over costs little beside
# decoding thumbnails, small enough in bytes that photographs do not pile up in memory.
_CHUNK_ITEMS = 256
_CHUNK_BYTES = 4 * 2**20
_CHUNK_PIXEL_BYTES = 8 * 2**20
# Mean bytes of an image: a JPEG of 32 × 32 has about 1000 and gains nothing from threads, one of
# 64 × 64 has 2000; those of 96 × 96 to 128 × 128 gain from threads, and on two cores as much from
# helpers, to whom the interpreter's lock is nothing.
_THUMBNAIL_BYTES = 2048
_SMALL_BYTES = 8192
# Decoded before helpers are started: about a tenth of a second, five times what starting takes.
_ALONE = 2048
# Handing a JPEG of 32 × 32 over takes a third of the time of decoding it, of 64 × 64 a fifth: more
# helpers would wait for the one who hands over.
_MOST_HELPERS = 8
_THUMBNAIL_SHAPE = (*THUMBNAIL.input_size, THUMBNAIL.channels)


class Chunk(NamedTuple):
    """Some neighbours of a stream: those that were decoded, in order, and those that are broken."""

    items: list[Item]
    pixels: UInt8[np.ndarray, "n H W C"]
    thumbnails: UInt8[np.ndarray, "n S S 3"]
    """The same object as `pixels` where these are that."""
    digests: list[str]
    sides: list[int]
    """The shorter side of each upright picture, pixels, as far as it was unpacked."""
    broken: list[tuple[Item, str]]
    """With the reason in words."""

    @property
    def num_items(self) -> int:
        """Decoded and broken ones."""
        return len(self.items) + len(self.broken)


def decode_all(contents: Iterable[tuple[Item, Content]], spec: ImageSpec) -> Iterator[Chunk]:
    """Decoded chunks in order, a bounded number of them under way.

    The arrays of a chunk hold good until the next chunk is asked for.

    Args:
        contents: what a source streams.
        spec: the form of the images.
    """
    with _Hands(spec) as hands:
        pending: deque[_Task] = deque()
        try:
            for named in _chunks(contents, hands.most_items):
                pending.append(hands.begin(named))
                while len(pending) > hands.most_pending:
                    yield hands.finish(pending.popleft())
            while pending:
                yield hands.finish(pending.popleft())
        finally:
            for task in pending:
                if task.answer is not None:
                    task.answer.cancel()


_Named = list[tuple[Item, Content]]
_Arrays = list[np.ndarray]
"""Room for the pixels and for the thumbnails of a chunk."""


class _Facts(NamedTuple):
    """What is known of a chunk when its pictures are in their arrays."""

    digests: list[str]
    sides: list[int]
    reasons: dict[int, str]
    """Of the broken ones, by their place."""
    alike: list[int]
    """Rows whose thumbnails are the pixels themselves, and were not written."""


class _Task(NamedTuple):
    named: _Named
    arrays: _Arrays
    answer: "Future[_Facts] | None"
    """None: to be done when it is asked for."""


class _Hands:
    """Who decodes: this very thread, threads, or helper processes."""

    def __init__(self, spec: ImageSpec) -> None:
        workers = os.cpu_count() or 1
        shape = (*spec.input_size, spec.channels)
        self.most_items = max(1, min(_CHUNK_ITEMS, _CHUNK_PIXEL_BYTES // math.prod(shape)))
        self.most_pending = 2 * workers
        self._work = partial(_decode, spec)
        self._shapes = [(self.most_items, *shape), (self.most_items, *_THUMBNAIL_SHAPE)]
        self._workers = workers
        self._open = ExitStack()
        self._threads: ThreadPoolExecutor | None = None
        self._helpers: Helpers | None = None
        self._num_small = 0

    def __enter__(self) -> "_Hands":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def begin(self, named: _Named) -> _Task:
        """Hand a chunk to whoever decodes such images fastest."""
        contents = [content for _, content in named]
        mean = sum(map(_num_bytes, contents)) / len(contents)
        if mean < _SMALL_BYTES and self._may_be_helped(len(contents)):
            with suppress(BrokenProcessPool):  # where they were killed the work is done here
                answer, arrays = self._helping.submit(contents)
                return _Task(named, arrays, answer)
        arrays = [np.empty((len(named), *shape[1:]), np.uint8) for shape in self._shapes]
        if mean < _THUMBNAIL_BYTES:
            return _Task(named, arrays, None)
        return _Task(named, arrays, self._threading.submit(self._work, contents, arrays))

    def finish(self, task: _Task) -> Chunk:
        """The decoded chunk of the oldest task."""
        named, arrays, answer = task
        facts = None
        if answer is not None:
            with suppress(BrokenProcessPool):
                facts = answer.result()
        if facts is None:
            facts = self._work([content for _, content in named], arrays)
        items = [item for place, (item, _) in enumerate(named) if place not in facts.reasons]
        broken = [(named[place][0], reason) for place, reason in facts.reasons.items()]
        pixels, thumbnails = (array[: len(items)] for array in arrays)
        if len(facts.alike) == len(items):
            thumbnails = pixels
        elif facts.alike:
            thumbnails[facts.alike] = pixels[facts.alike]
        return Chunk(items, pixels, thumbnails, facts.digests, facts.sides, broken)

    def _may_be_helped(self, num_more: int) -> bool:
        self._num_small += num_more
        return self._num_small > _ALONE and self._workers > 1 and may_help()

    @property
    def _helping(self) -> Helpers:
        if self._helpers is None:
            count = min(self._workers, _MOST_HELPERS)
            self.most_pending = 2 * count
            helpers = Helpers(count, self._work, self._shapes, self.most_pending + 2)
            self._helpers = self._open.enter_context(helpers)
        return self._helpers

    @property
    def _threading(self) -> ThreadPoolExecutor:
        if self._threads is None:
            threads = ThreadPoolExecutor(self._workers, "striate-decode")
            self._threads = self._open.enter_context(threads)
        return self._threads


def _chunks(contents: Iterable[tuple[Item, Content]], most: int) -> Iterator[_Named]:
    chunk: _Named = []
    held = 0
    for item, content in contents:
        chunk.append((item, content))
        held += _num_bytes(content)
        if len(chunk) >= most or held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _num_bytes(content: Content) -> int:
    if isinstance(content, OSError):
        return 0
    return content.nbytes if isinstance(content, np.ndarray) else len(content)


def _decode(spec: ImageSpec, contents: list[Content], arrays: _Arrays) -> _Facts:
    pixels, thumbnails = arrays
    facts = _Facts([], [], {}, [])
    for place, content in enumerate(contents):
        if isinstance(content, OSError):
            facts.reasons[place] = _unreadable(content)
            continue
        try:
            decoded = decode_with_digest(content, spec)
        except BrokenImage as error:
            facts.reasons[place] = str(error)
            continue
        row = len(facts.digests)
        pixels[row] = decoded.pixels
        if decoded.thumbnail is decoded.pixels:
            facts.alike.append(row)
        else:
            thumbnails[row] = decoded.thumbnail
        facts.digests.append(decoded.digest)
        facts.sides.append(decoded.side)
    return facts


def _unreadable(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "the file does not exist (a link that leads nowhere?)"
    return f"it cannot be read ({error.strerror or error})"
