"""The limit for the memory that files take while they are read.

A few kilobytes can be made to unpack to gigabytes. What a file needs is therefore judged by its
headers first; what is at work at the same time waits until it fits below the limit together.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from striate.errors import ConfigError, MemoryLimitError

_MOST = 2 * 2**30
_LEAST = 64 * 2**20
_UNKNOWN = 8 * 2**30
"""Free memory that is taken for granted where the system does not say."""
_SMALL = 2**20
"""Fewer bytes are not worth a lock."""
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}

_turn = threading.Lock()
_changed = threading.Condition()
_in_flight = 0  # bytes that all threads of this process hold
_parts = 1
_own = threading.local()


def memory_limit() -> int:
    """Bytes that files may take while they are read: `$STRIATE_MEMORY`, such as 4G.

    Without it a quarter of the memory that was free when it was first needed, at most 2 GiB.

    Raises:
        ConfigError: the variable holds no size.
    """
    words = os.environ.get("STRIATE_MEMORY", "").strip()
    if not words:
        limit = min(_MOST, max(_LEAST, free_memory() // 4))
    elif match := re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([KMGT]?)(?:i?B)?", words, re.IGNORECASE):
        limit = int(float(match[1]) * 2 ** _UNITS[match[2].upper()])
    else:
        raise ConfigError(f"STRIATE_MEMORY={words!r} is no size; accepted: 512M, 4G, or bytes.")
    return limit // _parts


@cache
def free_memory() -> int:
    """Bytes that the system, a container around this process or `ulimit -v` leaves free."""
    free = [_UNKNOWN]
    with suppress(OSError, KeyError):
        table = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = [int(table["MemAvailable"].split()[0]) * 1024]
    with suppress(OSError, ValueError, KeyError):  # no container, or one without a limit
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free.append(most - int(used["anon"]))
    with suppress(ImportError, OSError, ValueError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        if most != resource.RLIM_INFINITY:
            free.append(most - pages * resource.getpagesize())
    return max(0, min(free))


def require_memory(num_bytes: int, what: str) -> None:
    """Refuse what needs more memory than the limit.

    Args:
        num_bytes: Bytes that it needs.
        what: What needs them, as the beginning of a sentence.

    Raises:
        MemoryLimitError: More than `memory_limit`.
    """
    if num_bytes > memory_limit():
        raise MemoryLimitError(
            f"{what} needs {_spelled(num_bytes)} of memory, and the limit is "
            f"{_spelled(memory_limit())}. Where you trust it and the memory is there, allow more: "
            f"STRIATE_MEMORY={-(-num_bytes // 2**30) + 1}G"
        )


@contextmanager
def in_flight() -> Iterator[None]:
    """Keep what `reserve` takes on this thread until the end; within another, until its end."""
    if hasattr(_own, "taken"):
        yield
        return
    _own.taken, _own.has_turn = 0, False
    try:
        yield
    finally:
        give_back()
        _end_turn()
        del _own.taken


def reserve(num_bytes: int, what: str, *, more: bool = False) -> None:
    """Wait until so many bytes fit below the limit beside all that is in flight.

    Outside `in_flight` nothing is kept, and only what exceeds the limit alone is refused.

    Args:
        num_bytes: Bytes that the work needs now.
        what: What needs them, as the beginning of a sentence.
        more: Whether the same work will reserve more. Until then no other work may, lest two wait
            for each other.

    Raises:
        MemoryLimitError: The work alone needs more than the limit.
    """
    global _in_flight
    if num_bytes < _SMALL:
        return
    taken = getattr(_own, "taken", None)
    require_memory(num_bytes + (taken or 0), what)
    if taken is None:
        return
    if not _own.has_turn:
        _turn.acquire()
        _own.has_turn = True
    with _changed:
        _changed.wait_for(lambda: _in_flight + num_bytes <= memory_limit())
        _in_flight += num_bytes
        _own.taken += num_bytes
    if not more:
        _end_turn()


def give_back() -> None:
    """End what this thread has reserved so far."""
    global _in_flight
    with _changed:
        _in_flight -= _own.taken
        _changed.notify_all()
    _own.taken = 0


def _end_turn() -> None:
    if _own.has_turn:
        _own.has_turn = False
        _turn.release()


def divide_memory(parts: int) -> None:
    """Let this process have one of so many equal parts of the limit from now on."""
    global _parts, _turn, _changed, _in_flight
    # Of a process that was forked: a thread of its parent may have held the locks.
    _parts, _turn, _changed, _in_flight = parts, threading.Lock(), threading.Condition(), 0


def _spelled(num_bytes: int) -> str:
    unit = "GiB" if num_bytes >= 2**30 else "MiB"
    return f"{num_bytes / (2**30 if unit == 'GiB' else 2**20):,.1f} {unit}"
