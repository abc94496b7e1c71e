"""Helper processes that answer into memory which they share with the process that started them.

What is large is written where the parent reads it, and only small things are sent: a pipe copies
each byte four times, through memory that the system has to hand out anew.
"""

import math
import mmap
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import numpy as np

__all__ = ["Helpers", "may_help"]

_WATCH_SECONDS = 1.0

Work = Callable[[Any, list[np.ndarray]], Any]


def may_help() -> bool:
    """Whether helpers can be started: on Linux, and not by a helper of somebody else's.

    They are copies of this process. One started anew would import all that it needs, and first
    run the person's own script again.
    """
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


class Helpers:
    """Processes for tasks that are begun and finished in the same order.

    Args:
        count: of processes.
        work: called in a helper with what was submitted and the arrays to fill; what it returns is
            sent back.
        shapes: of the uint8 arrays that a task fills.
        most: how many tasks may be begun before the arrays of the first are used again.
    """

    def __init__(
        self, count: int, work: Work, shapes: Sequence[tuple[int, ...]], most: int
    ) -> None:
        self._most, self._next = most, 0
        size = sum(math.prod(shape) for shape in shapes)
        memory = np.frombuffer(mmap.mmap(-1, most * size), np.uint8).reshape(most, size)
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        self._arrays = [
            [part.reshape(shape) for part, shape in zip(np.split(row, ends), shapes, strict=True)]
            for row in memory
        ]
        self._pool = ProcessPoolExecutor(
            count,
            multiprocessing.get_context("fork"),
            initializer=_begin,
            initargs=(os.getpid(), work, self._arrays),
        )

    def __enter__(self) -> "Helpers":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, task: Any) -> tuple["Future[Any]", list[np.ndarray]]:
        """What the work will return, and the arrays that it fills.

        Raises:
            BrokenProcessPool: a helper was killed; the same comes from the answers.
        """
        place, self._next = self._next, (self._next + 1) % self._most
        return self._pool.submit(_do, task, place), self._arrays[place]


_given: tuple[Work, list[list[np.ndarray]]]
"""In a helper: what it does, and where its answers go."""


def _begin(parent: int, work: Work, arrays: list[list[np.ndarray]]) -> None:
    """A helper leaves interrupts to its parent, and ends with it, however that ends."""
    global _given
    _given = work, arrays
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _do(task: Any, place: int) -> Any:
    work, arrays = _given
    return work(task, arrays[place])
