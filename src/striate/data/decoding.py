"""Pictures decoded on all cores, in the order in which their contents come.

Photographs are decoded on threads, for the decoder works outside the interpreter's lock. With small
pictures most of the work is the interpreter's own and threads wait for each other: there worker
processes decode, as soon as there are pictures enough to pay for starting them.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from striate.data.decode import THUMBNAIL, ImageSpec, decode_with_digest
from striate.data.picture import BrokenImage, readable_formats
from striate.data.source import Content, Item
from striate.data.workers import WorkerLost, Workers, may_fork

__all__ = ["Chunk", "decode_all"]

# A chunk is what one task decodes: large enough that handing it over costs little beside
# decoding thumbnails, small enough in bytes that photographs do not pile up in memory.
_CHUNK_ITEMS = 256
_CHUNK_BYTES = 4 * 2**20
_CHUNK_PIXEL_BYTES = 8 * 2**20
# Mean bytes of an image: a JPEG of 32 × 32 has about 1000 and gains nothing from threads, one of
# 64 × 64 has 2000; those of 96 × 96 to 128 × 128 gain from threads, and on two cores as much from
# processes, to which the interpreter's lock is nothing.
_THUMBNAIL_BYTES = 2048
_SMALL_BYTES = 8192
# Decoded before processes are started: about a tenth of a second, five times what starting takes.
_ALONE = 2048
# Handing a JPEG of 32 × 32 over takes a third of the time of decoding it, of 64 × 64 a fifth: more
# workers would wait for the one who hands over.
_MAX_WORKERS = 8


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
    with _Decoders(spec) as decoders:
        pending: deque[_Task] = deque()
        for items, taken in _chunks(contents, decoders.max_items):
            task = decoders.begin(items, taken)
            pending.append(task)
            while len(pending) > task.max_pending:
                yield decoders.finish(pending.popleft())
        while pending:
            yield decoders.finish(pending.popleft())


_Arrays = list[np.ndarray]
"""Room for the pixels and for the thumbnails of a chunk."""


class _Facts(NamedTuple):
    """Facts about a chunk whose pictures are in their arrays."""

    digests: list[str]
    sides: list[int]
    reasons: dict[int, str]
    """Of the broken ones, by their place."""
    alike: list[int]
    """Rows whose thumbnails are the pixels themselves, and were not written."""


class _Task(NamedTuple):
    items: list[Item]
    contents: list[Content]
    arrays: _Arrays
    answer: Callable[[], _Facts]
    """Waits for the one who does it, or does it."""
    max_pending: int
    """Tasks that may wait when this one is begun."""


class _Decoders:
    """This very thread, threads, or worker processes."""

    def __init__(self, spec: ImageSpec) -> None:
        self.max_items = max(1, min(_CHUNK_ITEMS, _CHUNK_PIXEL_BYTES // math.prod(spec.shape)))
        self._cores = os.cpu_count() or 1
        self._work = partial(_decode, spec)
        self._shapes = [(self.max_items, *each.shape) for each in (spec, THUMBNAIL)]
        self._open = ExitStack()
        self._threads: ThreadPoolExecutor | None = None
        self._workers: Workers | None = None
        self._may_fork = self._cores > 1 and may_fork()
        self._num_small = 0

    def __enter__(self) -> "_Decoders":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def begin(self, items: list[Item], contents: list[Content]) -> _Task:
        """Hand a chunk to whoever decodes such images fastest."""
        mean = sum(map(_num_bytes, contents)) / len(contents)
        if mean < _SMALL_BYTES:
            self._num_small += len(contents)
            if self._may_fork and self._num_small > _ALONE:
                try:
                    return self._begun_by_worker(items, contents)
                except WorkerLost:
                    self._may_fork = False  # the rest is done here
        arrays = [np.empty((len(contents), *shape[1:]), np.uint8) for shape in self._shapes]
        if mean < _THUMBNAIL_BYTES:
            return _Task(items, contents, arrays, partial(self._work, contents, arrays), 0)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._cores, "striate-decode")
            self._open.callback(self._threads.shutdown, cancel_futures=True)
        answer = self._threads.submit(self._work, contents, arrays).result
        return _Task(items, contents, arrays, answer, 2 * self._cores)

    def finish(self, task: _Task) -> Chunk:
        """The decoded chunk of the oldest task."""
        try:
            facts = task.answer()
        except WorkerLost:
            facts = self._work(task.contents, task.arrays)
        items = [item for place, item in enumerate(task.items) if place not in facts.reasons]
        broken = [(task.items[place], reason) for place, reason in facts.reasons.items()]
        pixels, thumbnails = (array[: len(items)] for array in task.arrays)
        if len(facts.alike) == len(items):
            thumbnails = pixels
        elif facts.alike:
            thumbnails[facts.alike] = pixels[facts.alike]
        return Chunk(items, pixels, thumbnails, facts.digests, facts.sides, broken)

    def _begun_by_worker(self, items: list[Item], contents: list[Content]) -> _Task:
        count = min(self._cores, _MAX_WORKERS)
        if self._workers is None:
            # A lock that a thread holds while the process is copied stays locked in the copy.
            if self._threads is not None:
                self._threads.shutdown()
                self._threads = None
            readable_formats()
            workers = Workers(count, self._work, self._shapes, 2 * count + 2)
            self._workers = self._open.enter_context(workers)
        number, arrays = self._workers.begin(contents)
        return _Task(items, contents, arrays, partial(self._workers.finish, number), 2 * count)


def _chunks(
    contents: Iterable[tuple[Item, Content]], most: int
) -> Iterator[tuple[list[Item], list[Content]]]:
    items: list[Item] = []
    taken: list[Content] = []
    held = 0
    for item, content in contents:
        items.append(item)
        taken.append(content)
        held += _num_bytes(content)
        if len(items) >= most or held >= _CHUNK_BYTES:
            yield items, taken
            items, taken, held = [], [], 0
    if items:
        yield items, taken


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
