"""Read files that others wrote: regular ones alone, and whatever goes wrong is a named error.

A damaged file can make a reader fail with nearly any exception. Each reader therefore has one
boundary, `reported_as`, around everything that depends on the content of its file.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from striate import durable
from striate.errors import StriateError
from striate.memory import require_memory

_LONGEST = 300
"""Letters of a reason; some exceptions quote the whole file."""
_BYTES_PER_VALUE = 100
"""Memory that Python takes for one value of a list or a table, about."""


@contextmanager
def reported_as(kind: type[StriateError], before: str, after: str = "") -> Iterator[None]:
    """Turn whatever goes wrong within into one kind of error: "before: reason. after".

    Errors that a person can correct already pass through.

    Example:
        >>> with reported_as(StriateError, "a.json is no JSON", "Write it anew."):
        ...     json.loads("[" * 100_000)
        Traceback (most recent call last):
        striate.errors.StriateError: a.json is no JSON: it is nested too deeply. Write it anew.
    """
    try:
        yield
    except StriateError:
        raise
    except Exception as error:
        raise kind(f"{before}: {why(error)}. {after}".rstrip()) from error


@contextmanager
def as_unreadable() -> Iterator[None]:
    """Turn whatever goes wrong in reading one file of many into an OSError, its reason in words."""
    try:
        yield
    except (OSError, StriateError):
        raise
    except Exception as error:
        raise OSError(why(error)) from error


def why(error: Exception) -> str:
    """The reason of an exception in a few words, without a full stop at its end."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error).strip()
    if isinstance(error, MemoryError):
        text = "it does not fit into memory"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    elif isinstance(error, KeyError):
        text = f"{text} is missing"
    text = text.rstrip(".") or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def require_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """The status of a regular file; a pipe or a device might never end.

    Raises:
        OSError: It is another kind of file, or there is none.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        raise OSError("it is a folder" if is_folder else "it is a pipe or a device, no plain file")
    return status


def read_bytes(path: Path) -> bytes:
    """The content of a regular file that fits into memory.

    Raises:
        OSError: It is missing, cannot be read, or is no regular file.
        MemoryLimitError: It is larger than the limit.
    """
    require_memory(require_regular(path).st_size, f"Reading {path}")
    return durable.read_bytes(path)


def require_memory_for_values(text: str, what: str) -> None:
    """Refuse a list or a table of more values than memory has room for.

    Raises:
        MemoryLimitError: Its text and values need more than the limit.
    """
    count = sum(map(text.count, ",;\t\n[{"))
    require_memory(4 * len(text) + _BYTES_PER_VALUE * count, what)


def read_json(path: Path) -> Any:
    """The JSON value of a regular file, in UTF-8.

    Raises:
        Exception: Of any kind, where the file is damaged; see `reported_as`.
    """
    text = read_bytes(path).decode("utf-8")
    require_memory_for_values(text, f"Reading {path}")
    return json.loads(text)


def json_or_none(content: bytes | str) -> Any:
    """The JSON value of a text that may be damaged; None where it is."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError, MemoryError):
        return None
