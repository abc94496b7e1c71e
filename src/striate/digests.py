"""Digests of files on the disk: what was damaged after it was written is noticed where it is read.

A folder of a run has digests.jsonl, a line for each time that one of its files was written: its
name, length and digest. The line is written first, so that a kill between the two leaves the
earlier file, whose line is there as well.
"""

import hashlib
import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from striate import durable
from striate.errors import RunError

DIGESTS = "digests.jsonl"
"""Name of the file of digests in the folder of a run."""


class _Written(NamedTuple):
    """Length and digest of a file when it was written."""

    num_bytes: int
    digest: str


def digest_of_bytes(content: bytes) -> str:
    """BLAKE2b, 128 bits, hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and its digest beside it."""
    with durable.explaining(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
    _record(path, len(content), digest_of_bytes(content))
    durable.write_bytes(path, content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `durable.write_json` does, and its digest beside it."""
    write_bytes(path, durable.json_bytes(value))


def record(path: Path) -> None:
    """Keep the digest of a file that was written in some other way, as it is now."""
    num_bytes = path.stat().st_size
    _record(path, num_bytes, file_digest(path, num_bytes))


def require(path: Path, remedy: str) -> None:
    """Refuse a file that is missing or is not as it was written.

    Files without a digest, of runs from before there were any, are accepted.

    Args:
        path: Path of the file.
        remedy: What a person does about it.

    Raises:
        RunError: the file is damaged or gone.
    """
    if (problem := why_damaged(path)) is not None:
        raise RunError(f"{problem} {remedy}")


def why_damaged(path: Path, *, grows: bool = False) -> str | None:
    """A sentence about a file that is not as it was written; None where it is, or has no digest.

    Args:
        path: Path of the file.
        grows: Whether lines were appended to it; what it began with must still be there.
    """
    known = _written(path)
    if not known:
        return None
    if not path.is_file():
        return f"{path} is missing."
    size = path.stat().st_size
    if grows:
        num_bytes, digest = known[-1]
        same = size >= num_bytes and file_digest(path, num_bytes) == digest
    else:
        same = any(num == size and file_digest(path, num) == digest for num, digest in known)
    return None if same else f"{path} was damaged or changed after it was written."


def is_known(path: Path) -> bool:
    """Whether there is a digest of a file."""
    return bool(_written(path))


def file_digest(path: Path, num_bytes: int | None = None) -> str:
    """BLAKE2b, 128 bits, hexadecimal, of a file or its beginning; computed once in a process.

    Args:
        path: Path of the file.
        num_bytes: Length of the beginning; None: the whole file.
    """
    now = path.stat()
    unchanged = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size)
    return _digest(path.resolve(), now.st_size if num_bytes is None else num_bytes, unchanged)


@lru_cache(maxsize=4096)
def _digest(path: Path, num_bytes: int, unchanged: tuple[int, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    left = num_bytes
    with durable.explaining(path, "read"), open(path, "rb") as stream:
        while left and (block := stream.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _record(path: Path, num_bytes: int, digest: str) -> None:
    line = json.dumps({"file": path.name, "bytes": num_bytes, "digest": digest})
    durable.append_line(path.parent / DIGESTS, line)


def _written(path: Path) -> list[_Written]:
    """What is kept of a file, the oldest first."""
    digests = path.parent / DIGESTS
    try:
        now = digests.stat()
        unchanged = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size)
        return _known_digests(digests.resolve(), unchanged).get(path.name, [])
    except (FileNotFoundError, NotADirectoryError):
        return []


@lru_cache(maxsize=64)
def _known_digests(path: Path, unchanged: tuple[int, ...]) -> dict[str, list[_Written]]:
    """The lines of digests.jsonl by file; those that cannot be read are passed over."""
    known: dict[str, list[_Written]] = {}
    for line in durable.read_bytes(path).splitlines():
        with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
            value = json.loads(line)
            written = _Written(int(value["bytes"]), str(value["digest"]))
            known.setdefault(value["file"], []).append(written)
    return known
