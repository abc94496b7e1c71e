"""Locks between processes, which the system itself drops when the one that holds them dies."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from striate.durable import explaining, remove_leftovers
from striate.errors import RunError


@contextmanager
def lock(path: Path, *, wait: bool, taken: str) -> Iterator[None]:
    """Hold an exclusive lock that the system itself drops when the process dies.

    Args:
        path: Path of the lock file; made when absent, and never removed.
        wait: Whether to wait for the other process, or raise at once.
        taken: Message of the error when another process holds the lock.

    Raises:
        RunError: `taken`.
    """
    with ExitStack() as held:
        with explaining(path, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent)
            stream = held.enter_context(open(path, "ab"))
            if os.name != "nt":
                import fcntl

                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    raise RunError(taken) from None
                # Not by closing alone: copies of this process may hold the file open.
                held.callback(_unlock, stream)
        yield


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of a file now; nothing is written."""
    if os.name == "nt":
        return False
    import fcntl

    try:
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it cannot be read
        return False
    return False


def _unlock(stream: IO[bytes]) -> None:
    import fcntl

    with suppress(OSError):  # of a disk that failed meanwhile: closing does the same
        fcntl.flock(stream, fcntl.LOCK_UN)
