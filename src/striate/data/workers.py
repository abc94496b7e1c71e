"""Worker processes that take and answer through memory which they share with their parent.

Only a few bytes a task go through a pipe, so that nobody waits for a full one, and what is large
is written where the parent reads it.
"""

import math
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

__all__ = ["WorkerLost", "Workers", "may_fork"]

Work = Callable[[Any, list[np.ndarray]], Any]

_TASK_BYTES = 8 * 2**20
"""Room for a pickled task; pages that are not written take no memory."""
_PATIENCE = 10.0
"""Seconds in which a worker has to end what it does."""


class WorkerLost(Exception):  # noqa: N818 - what happened, not whose mistake it is
    """A worker cannot be started, was killed, or cannot take the task: it is to be done without."""


def may_fork() -> bool:
    """Whether workers are copies of this process, and it is not such a worker itself.

    One started anew would import all that it needs, and first run the person's own script again.
    """
    return sys.platform == "linux" and multiprocessing.parent_process() is None


class Workers:
    """Processes for tasks that are finished in the order in which they were begun.

    Args:
        count: of processes.
        work: called in a worker with a task and the arrays to fill; what it returns is sent back
            and should be small.
        shapes: of the uint8 arrays that a task fills.
        max_pending: tasks that may be begun before the arrays of the first are used again.

    Raises:
        WorkerLost: they cannot be started.
    """

    def __init__(
        self, count: int, work: Work, shapes: Sequence[tuple[int, ...]], max_pending: int
    ) -> None:
        self._max_pending, self._num_begun = max_pending, 0
        self._parents_ends: list[Connection] = []
        self._processes: list[Any] = []
        try:
            self._slots = [_Slot(shapes) for _ in range(max_pending)]
            for _ in range(count):
                self._start(work)
        except OSError as error:
            self.close()
            raise WorkerLost(str(error)) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, task: Any) -> tuple[int, list[np.ndarray]]:
        """The number of the task, to `finish` it by, and the arrays that it fills.

        Raises:
            WorkerLost: the worker whose turn it is, is gone, or the task is too large.
        """
        number = self._num_begun
        place = number % self._max_pending
        slot, content = self._slots[place], pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        if len(content) > _TASK_BYTES:
            raise WorkerLost(f"{len(content)} bytes")
        slot.task[: len(content)] = content
        try:
            self._end_of(number).send((place, len(content)))
        except OSError as error:
            raise WorkerLost(str(error)) from error
        self._num_begun += 1
        return number, slot.arrays

    def finish(self, number: int) -> Any:
        """The result of the oldest task.

        Raises:
            WorkerLost: its worker is gone.
        """
        try:
            return self._end_of(number).recv()
        except (EOFError, OSError) as error:
            raise WorkerLost(str(error)) from error

    def close(self) -> None:
        """End the processes: each when it has done what it is at."""
        for end in self._parents_ends:
            end.close()
        for process in self._processes:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    def _end_of(self, number: int) -> Connection:
        return self._parents_ends[number % len(self._parents_ends)]

    def _start(self, work: Work) -> None:
        context = multiprocessing.get_context("fork")
        parents_end, workers_end = context.Pipe()
        self._parents_ends.append(parents_end)
        with workers_end:
            # A worker ends when its pipe does, which no other worker may keep open.
            process = context.Process(
                target=_serve,
                args=(workers_end, list(self._parents_ends), work, self._slots),
                daemon=True,
            )
            process.start()
        self._processes.append(process)


class _Slot:
    """Memory for one task and for its arrays."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        sizes = [_TASK_BYTES, *map(math.prod, shapes)]
        parts = np.split(np.frombuffer(mmap.mmap(-1, sum(sizes)), np.uint8), np.cumsum(sizes)[:-1])
        self.task = parts[0].data
        self.arrays = [part.reshape(shape) for part, shape in zip(parts[1:], shapes, strict=True)]


def _serve(end: Connection, parents_ends: list[Connection], work: Work, slots: list[_Slot]) -> None:
    """Answer until the parent closes its end, or is no more; interrupts are its business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in parents_ends:
        other.close()
    with open(os.devnull, "w") as nowhere, suppress(EOFError, OSError):
        # What a thread of the parent held when it was copied (its terminal) is held for ever.
        sys.stdout = sys.stderr = nowhere
        while True:
            place, size = end.recv()
            slot = slots[place]
            end.send(work(pickle.loads(slot.task[:size]), slot.arrays))
