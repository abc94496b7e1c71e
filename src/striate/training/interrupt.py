"""Ctrl-C, SIGTERM, a closed terminal or a pruner as a wish to stop, granted between two steps."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether a training is to stop, and why."""

    signal_number: int | None = None
    reason: str | None = None
    """Why it is to stop where no signal came."""

    @property
    def wanted(self) -> bool:
        return self.signal_number is not None or self.reason is not None

    @property
    def name(self) -> str:
        """Name of the signal, else the reason."""
        return signal.Signals(self.signal_number).name if self.signal_number else self.reason or ""


@contextmanager
def interruptible(interrupt: Interrupt | None = None) -> Iterator[Interrupt]:
    """Take note of SIGINT, SIGTERM and SIGHUP instead of dying; a second one dies at once.

    Signals belong to the main thread: elsewhere nothing is changed. SIGHUP, which a terminal sends
    that is closed, stays ignored where it is (`nohup`).

    Args:
        interrupt: Interrupt that takes the note; None: a new one.
    """
    interrupt = interrupt or Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    numbers = [signal.SIGINT, signal.SIGTERM]
    if os.name != "nt" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
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
