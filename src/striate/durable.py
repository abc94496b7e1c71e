"""Files that are whole or absent, whatever happens while they are written.

A file is written under a temporary name in the same folder, flushed to the disk, then renamed
over the old one; the folder is flushed too, so that the rename survives a power cut. What the
system refuses is understood here, once: `explaining` turns its error numbers into sentences.
"""

import errno
import functools
import json
import os
import platform
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from striate.errors import StorageError

_KEPT_LETTERS = 30
"""Letters of a file's name in the temporary one, which must stay below the 255 bytes of a name."""
_DAY = 86_400.0
_CLEANING = threading.Lock()
_ANOTHER = "Choose another path"
_REASONS = {
    errno.ENOSPC: ("the disk is full", "Make room (striate cache clear helps)"),
    errno.EDQUOT: ("your quota on this disk is used up", "Make room"),
    errno.EFBIG: ("it would be larger than a file may be here", "Raise the limit (ulimit -f)"),
    errno.EROFS: ("the disk is read-only", "Choose a path on another disk"),
    errno.EIO: ("the disk reports an input/output error", "Check the disk and its connection"),
    errno.EACCES: ("there is no permission", "Allow it or choose another path"),
    errno.EPERM: ("it is not permitted", "Allow it or choose another path"),
    errno.ENOENT: ("it does not exist", "Check the path"),
    errno.ENAMETOOLONG: ("the name is longer than the system allows", "Choose a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file, no folder", _ANOTHER),
    errno.EISDIR: ("it is a folder, no file", _ANOTHER),
    errno.EEXIST: ("something else lies there", _ANOTHER),
    errno.EMFILE: ("too many files are open", "Raise the limit (ulimit -n)"),
}
"""Reason and remedy of the error numbers that people meet; others keep the system's own words."""


def explained(error: OSError, path: Path | None = None, verb: str = "used") -> StorageError:
    """An error of the system as one that says which file, why and what to do.

    Args:
        error: Error of the system; one that was explained already comes back as it is.
        path: File or folder that was worked on, where the system names none.
        verb: What could not be done: "written", "read".
    """
    if isinstance(error, StorageError):
        return error
    own = error.strerror or str(error) or type(error).__name__
    reason, remedy = _REASONS.get(error.errno or 0, (own, "Correct this"))
    # A temporary name means the file that it becomes.
    named = None if str(error.filename).endswith(".partial") else error.filename
    name, verb = (named or path, verb) if named or path else ("The result", "written")
    safe = " What was saved before is safe." if verb == "written" else ""
    storage = StorageError(f"{name} could not be {verb}: {reason}.{safe}", remedy)
    storage.errno, storage.strerror, storage.filename = error.errno, reason, str(name)
    return storage


@contextmanager
def explaining(
    path: Path | None = None, verb: str = "used", *, then: str | None = None
) -> Iterator[None]:
    """Turn what the system refuses into a `StorageError`: which file, why, what to do.

    Args:
        path: File or folder that is worked on, where the system names none.
        verb: What could not be done: "written", "read".
        then: End of that sentence: "continue with: striate resume runs/x"; empty: the command is
            repeated; None: as it is.

    Raises:
        StorageError: the system refused something within. One that was explained already keeps
            its sentence, and takes over `then`.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        storage = explained(error, path, verb)
        storage.then = storage.then if then is None else then
        if storage is error:
            raise
        raise storage from error


def require_writable(path: Path, *, folder: bool = False) -> None:
    """Refuse a path that cannot be written, before any work is done for it.

    Args:
        path: File or folder that is to be made, or written anew.
        folder: Whether it is a folder.

    Raises:
        StorageError: something else lies there, or its folder cannot be written.
    """
    with explaining(path, "written"):
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        parents = path.absolute().parents
        around = (path, *parents) if folder else parents
        nearest = next(parent for parent in around if os.path.lexists(parent))
        tempfile.TemporaryFile(dir=nearest, suffix=".partial").close()


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: it is missing, or its folder.
        StorageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except OSError as error:
        raise explained(error, path, "read") from error


def safetensors_metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, which its library reads from paths alone.

    Raises:
        ValueError: it is no such file.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return dict(header.get("__metadata__", {}))


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
    with explaining(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        process = f"{platform.node()}.{os.getpid()}"
        temporary = path.with_name(f".{path.name[:_KEPT_LETTERS]}.{process}.partial")
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
    with explaining(path, "written"), open(path, "a+b", buffering=0) as stream:
        append(stream, b"\n" * ends_torn(stream) + line.encode() + b"\n", flush=True)


def ends_torn(stream: IO[bytes]) -> bool:
    """Whether the last line of a file lacks its end, as one that a kill cut short."""
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes, before this one first writes in a folder.

    Those of another machine, whose processes cannot be seen from here, go when they are a day old.
    """
    with _CLEANING:
        _removed_leftovers(folder.absolute())


@functools.cache
def _removed_leftovers(folder: Path) -> None:
    here = re.compile(rf"\..*\.{re.escape(platform.node())}\.(\d+)\.partial")
    for path in folder.glob(".*.partial"):
        with suppress(OSError):
            own = here.fullmatch(path.name)
            age = time.time() - path.stat().st_mtime
            if age > _DAY if own is None else not _is_running(int(own[1])):
                path.unlink()


def _is_running(pid: int) -> bool:
    """Whether another process of this number runs; this one has written nothing yet."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid != os.getpid()
