"""Files that are whole or absent, whatever happens while they are written.

A file is written under a temporary name in the same folder, flushed to the disk, then renamed
over the old one; the folder is flushed too, so that the rename survives a power cut.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from striate.errors import RunError


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries (names) to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_with(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file through `write(stream)`: after a failure the old file is still there, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all."""
    write_with(path, lambda stream: stream.write(content))


def write_json(path: Path, value: Any) -> None:
    """Write JSON (UTF-8, two spaces, keys in their order), whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it to the disk. A reader skips a line torn by a crash."""
    with open(path, "ab") as stream:
        stream.write(line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as stream:
        if os.name != "nt":
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise RunError(taken) from None
            try:
                yield
            finally:  # not by closing: copies of this process may hold the file open
                fcntl.flock(stream, fcntl.LOCK_UN)
        else:
            yield
