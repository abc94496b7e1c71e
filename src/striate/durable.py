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
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """The content of a file of JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def append(stream: IO[bytes], content: bytes, *, flush: bool) -> None:
    """Append bytes to a file, all of them or none: after a failure it ends where it did.

    Args:
        stream: File opened without a buffer, in a mode that appends.
        content: Bytes to append.
        flush: Whether they are on the disk when this returns.
    """
    end = stream.seek(0, os.SEEK_END)
    left = memoryview(content)
    try:
        while left:
            left = left[stream.write(left) :]
        if flush:
            os.fsync(stream.fileno())
    except BaseException:
        with suppress(OSError):
            stream.truncate(end)
        raise


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it to the disk; after a failure the file is as it was.

    A line that a kill cut short stays a line of its own, which readers pass over.
    """
    with open(path, "a+b", buffering=0) as stream:
        append(stream, b"\n" * ends_torn(stream) + line.encode() + b"\n", flush=True)


def ends_torn(stream: IO[bytes]) -> bool:
    """Whether the last line of a file lacks its end, as one that a kill cut short."""
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"


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
