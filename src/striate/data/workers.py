"""Worker processes, each with a pipe of its own: the death of one touches no other.

`concurrent.futures.ProcessPoolExecutor` has one pipe for the results of all: where a worker is
killed while it sends one, those who wait for the rest of it wait for ever.
"""

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from striate.memory import divide_memory

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(Generic[Task, Result]):
    """Processes that run one function; what a killed one had is done here.

    They are forked: forked ones start in milliseconds, others would import everything again, and
    first run the user's own script once more. A lock that a thread holds at the fork stays locked
    in the worker, so no other thread may be at work when they are started.

    Args:
        number: How many processes.
        work: What they do with a task; tasks and results travel as pickles.
        memory_parts: Part of the limit for memory that each has: one of so many.

    Raises:
        OSError: the system allows no more processes; none is left.
    """

    def __init__(self, number: int, work: Callable[[Task], Result], memory_parts: int) -> None:
        self._work = work
        self._processes: list[multiprocessing.process.BaseProcess] = []
        # A pipe whose worker is free; None stands for one that was killed.
        self._free: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        context = multiprocessing.get_context("fork")
        try:
            for _ in range(number):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, work, memory_parts))
                process.daemon = True
                process.start()
                self._processes.append(process)
                there.close()  # else the end of the worker would not end the pipe
                self._free.put(here)
        except OSError:
            self._end()
            raise
        self._threads = ThreadPoolExecutor(number, "striate-worker")

    def submit(self, task: Task) -> Future[Result]:
        """Give a task to the worker that is free first."""
        return self._threads.submit(self._run, task)

    def shutdown(self) -> None:
        """End the processes; tasks that no worker has begun are dropped."""
        self._threads.shutdown(cancel_futures=True)
        self._end()

    def _run(self, task: Task) -> Result:
        pipe, usable = self._free.get(), None
        try:
            if pipe is not None:
                with suppress(EOFError, OSError):
                    pipe.send(task)
                    result: Result = pipe.recv()
                    usable = (
                        pipe  # only a whole result leaves nothing in the pipe for the next task
                    )
                    return result
        finally:
            self._free.put(usable)
        return self._work(task)

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def _serve(pipe: Connection, work: Callable[[Task], Result], memory_parts: int) -> None:
    # The parent alone handles interrupts, and workers end with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name != "nt":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # A lock that a thread of the parent held at the fork, such as its terminal's, is never freed.
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open as long as the worker
    divide_memory(memory_parts)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        pipe.send(work(pipe.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
