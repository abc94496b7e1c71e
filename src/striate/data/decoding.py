"""Decode a stream of image files on all cores, in the order in which they come.

Photographs are decoded on threads, because the decoder releases the interpreter's lock. With small
images most of the work is Python's own and threads wait for each other; there worker processes
decode, as soon as there are enough images to pay for starting them.
"""

import math
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from striate.data.decode import THUMBNAIL, ImageSpec, decode_with_digest
from striate.data.picture import BrokenImage, readable_formats, unreadable
from striate.data.source import Content, Item
from striate.data.workers import Workers
from striate.memory import memory_limit

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
# Images decoded before processes are started: about a tenth of a second, five times what starting
# them takes.
_ALONE = 2048
# Handing over a JPEG of 32 × 32 takes a third of the time of decoding it, of 64 × 64 a fifth: more
# workers would wait for the process that hands over.
_MAX_WORKERS = 8
# Part of the limit for memory that a worker has: its images are small, and the rare large one is
# decoded by the process that hands over.
_WORKER_PARTS = 64


class Chunk(NamedTuple):
    """Some neighbours of a stream: the decoded images in order, and the broken files."""

    items: list[Item]
    pixels: UInt8[np.ndarray, "n H W C"]
    thumbnails: UInt8[np.ndarray, "n S S 3"]
    """Identical to `pixels`, as an object, where the two are equal."""
    digests: list[str]
    sides: list[int]
    """Shorter side of each upright picture in pixels, as far as it was unpacked."""
    broken: list[tuple[Item, BrokenImage]]
    """Files that gave no picture, with the reason."""

    @property
    def num_items(self) -> int:
        """Number of decoded and broken items."""
        return len(self.items) + len(self.broken)


_Decoded = tuple[np.ndarray, np.ndarray | None, list[str], list[int], dict[int, BrokenImage]]
"""The result of one task: pixels, thumbnails (None where they equal the pixels), digests, shorter
sides, and the reason why an item is broken by its position in the task."""


def decode_all(contents: Iterable[tuple[Item, Content]], spec: ImageSpec) -> Iterator[Chunk]:
    """Decode a stream of items in order, with a bounded number of chunks in memory.

    Args:
        contents: Items with their contents, as `Source.stream` gives them.
        spec: Form of the decoded images.
    """
    max_items = max(1, min(_CHUNK_ITEMS, _CHUNK_PIXEL_BYTES // math.prod(spec.shape)))
    with ExitStack() as stack:
        pools = _Pools(partial(_decode, spec), stack)
        pending: deque[tuple[list[Item], Callable[[], _Decoded], int]] = deque()
        most = memory_limit() // 4
        for items, chunk in _chunks(contents, max_items):
            result, max_pending = pools.submit(chunk)
            pending.append((items, result, sum(map(_num_bytes, chunk))))
            del chunk
            while len(pending) > max_pending or sum(waiting[2] for waiting in pending) > most:
                yield _chunk(*pending.popleft()[:2])
        while pending:
            yield _chunk(*pending.popleft()[:2])


class _Pools:
    """Threads and worker processes, each started by the first task that needs them."""

    def __init__(self, work: Callable[[list[Content]], _Decoded], stack: ExitStack) -> None:
        self._work, self._stack = work, stack
        self._cores = os.cpu_count() or 1
        self._num_workers = min(self._cores, _MAX_WORKERS)
        self._threads: ThreadPoolExecutor | None = None
        self._workers: Workers[list[Content], _Decoded] | None = None
        # A worker process starts no workers itself.
        self._may_fork = (
            self._cores > 1 and sys.platform == "linux" and multiprocessing.parent_process() is None
        )
        self._num_small = 0

    def submit(self, contents: list[Content]) -> tuple[Callable[[], _Decoded], int]:
        """Start a task where such images decode fastest.

        Returns:
            A function that waits for the result, and how many tasks may be pending beside it.
        """
        mean = sum(map(_num_bytes, contents)) / len(contents)
        if mean < _SMALL_BYTES:
            self._num_small += len(contents)
            if self._may_fork and self._num_small > _ALONE:
                try:
                    future = self._started_workers().submit(contents)
                    return partial(self._result, future.result, contents), 2 * self._num_workers
                except OSError:  # the system allows no more processes
                    self._may_fork = False
        if mean < _THUMBNAIL_BYTES:
            return partial(self._work, contents), 0
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._cores, "striate-decode")
            self._stack.callback(self._threads.shutdown, cancel_futures=True)
        return self._threads.submit(self._work, contents).result, 2 * self._cores

    def _started_workers(self) -> Workers[list[Content], _Decoded]:
        if self._workers is None:
            # No thread may be at work when workers start.
            if self._threads is not None:
                self._threads.shutdown()
                self._threads = None
            readable_formats()
            self._workers = Workers(self._num_workers, self._work, _WORKER_PARTS)
            self._stack.callback(self._workers.shutdown)
        return self._workers

    def _result(self, result: Callable[[], _Decoded], contents: list[Content]) -> _Decoded:
        decoded = result()
        # What is too large for a worker's part of the memory may not be for the whole limit.
        again = any(reason.is_outside for reason in decoded[4].values())
        return self._work(contents) if again else decoded


def _chunk(items: list[Item], result: Callable[[], _Decoded]) -> Chunk:
    pixels, thumbnails, digests, sides, reasons = result()
    return Chunk(
        [item for i, item in enumerate(items) if i not in reasons],
        pixels,
        pixels if thumbnails is None else thumbnails,
        digests,
        sides,
        [(items[i], reason) for i, reason in reasons.items()],
    )


def _chunks(
    contents: Iterable[tuple[Item, Content]], max_items: int
) -> Iterator[tuple[list[Item], list[Content]]]:
    items: list[Item] = []
    chunk: list[Content] = []
    num_bytes = 0
    for item, content in contents:
        items.append(item)
        chunk.append(content)
        num_bytes += _num_bytes(content)
        if len(items) >= max_items or num_bytes >= _CHUNK_BYTES:
            yield items, chunk
            items, chunk, num_bytes = [], [], 0
    if items:
        yield items, chunk


def _num_bytes(content: Content) -> int:
    if isinstance(content, OSError):
        return 0
    return content.nbytes if isinstance(content, np.ndarray) else len(content)


def _decode(spec: ImageSpec, contents: list[Content]) -> _Decoded:
    pixels = np.empty((len(contents), *spec.shape), np.uint8)
    thumbnails = np.empty((len(contents), *THUMBNAIL.shape), np.uint8)
    digests: list[str] = []
    sides: list[int] = []
    reasons: dict[int, BrokenImage] = {}
    equal = True
    for i, content in enumerate(contents):
        if isinstance(content, OSError):
            reasons[i] = unreadable(content)
            continue
        try:
            decoded = decode_with_digest(content, spec)
        except BrokenImage as error:
            reasons[i] = error
            continue
        row = len(digests)
        pixels[row], thumbnails[row] = decoded.pixels, decoded.thumbnail
        equal &= decoded.thumbnail is decoded.pixels
        digests.append(decoded.digest)
        sides.append(decoded.side)
    num = len(digests)
    return pixels[:num], None if equal else thumbnails[:num], digests, sides, reasons
