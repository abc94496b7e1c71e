"""Ctrl-C and SIGTERM as a wish to stop, granted between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "interruptible"]


class Interrupt:
    """The signal that asked to stop, or None."""

    signal_number: int | None = None

    @property
    def name(self) -> str:
        return signal.Signals(self.signal_number).name if self.signal_number else ""


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Take note of SIGINT and SIGTERM instead of dying; a second one dies at once.

    Signals belong to the main thread: elsewhere nothing is changed.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {int(number): signal.getsignal(number) for number in numbers}

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.signal_number = number
        signal.signal(number, previous[number])

    for number in numbers:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        for number in numbers:
            signal.signal(number, previous[number])
