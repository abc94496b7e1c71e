"""The log of a run: one JSON object a line, append only, the single source of all curves.

A run that was killed continues from its last checkpoint, which may lie before the log's last
line. It then writes a `rewind` line with the log's length at that checkpoint; a reader drops
what was written after it. So nothing is ever erased, and the log that a reader sees is the one
of an uninterrupted run.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from striate import digests, durable
from striate.errors import RunError
from striate.reading import json_or_none, read_bytes, reported_as

Event = dict[str, Any]

TIMING = frozenset({"seconds", "seconds_left", "images_per_second", "time", "seconds_per_step"})
"""Fields that depend on the clock: the only ones that two runs of one seed may differ in."""


class EventLog:
    """Appends events to a file and hands them to listeners.

    Args:
        path: Path of events.jsonl.
        listeners: Functions called with each event after it is written.
    """

    def __init__(self, path: Path, listeners: tuple[Callable[[Event], None], ...] = ()) -> None:
        self._path = path
        self._listeners = listeners
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> "EventLog":
        with durable.explaining(self._path, "written"):
            # Without a buffer, so that a line that could not be written is not written later.
            self._stream = open(self._path, "a+b", buffering=0)
            if durable.ends_torn(self._stream):  # cut short by a kill: readers pass over it
                durable.append(self._stream, b"\n", flush=False)
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            with suppress(OSError):  # only a line that failed before is written by closing
                self._stream.close()
            self._stream = None
            with suppress(OSError):  # that of an earlier session still holds for the beginning
                digests.record(self._path)

    def offset(self) -> int:
        """Length of the log in bytes, everything up to it safe on the disk."""
        if self._stream is None:
            return self._path.stat().st_size if self._path.exists() else 0
        with durable.explaining(self._path, "written"):
            os.fsync(self._stream.fileno())
            return self._stream.seek(0, os.SEEK_END)

    def rewind(self, offset: int, reason: str, **fields: Any) -> None:
        """Take back everything after a length of the log.

        Args:
            offset: Length in bytes at the checkpoint that is gone back to.
            reason: Reason: "resumed" vanishes for readers; any other stays visible.
            fields: Fields of the event.
        """
        self.write("rewind", offset=offset, reason=reason, **fields)

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event, whole or not at all; it survives the death of the process."""
        event = {"event": kind, **fields}
        if self._stream is not None:
            line = json.dumps(event, ensure_ascii=False, allow_nan=False)
            with durable.explaining(self._path, "written"):
                durable.append(self._stream, line.encode() + b"\n", flush=False)
        for listener in self._listeners:
            listener(event)


def read_events(path: Path, *, all_lines: bool = False) -> list[Event]:
    """The events of a run, without those that a rewind took back.

    Args:
        path: Path of events.jsonl.
        all_lines: Whether to keep what was taken back, and the rewinds.
    """
    kept: list[tuple[int, Event]] = []
    start = 0
    with reported_as(RunError, f"{path} cannot be read"):
        content = read_bytes(path) if path.exists() else b""
    for line in content.splitlines(keepends=True):
        offset, start = start, start + len(line)
        event = json_or_none(line)
        if not isinstance(event, dict) or "event" not in event:  # cut by a crash
            continue
        if event["event"] == "rewind" and not all_lines:
            with reported_as(RunError, f"{path} is damaged at byte {offset}"):
                kept = [(at, e) for at, e in kept if at < event["offset"]]
            if event.get("reason") == "resumed":
                continue
        kept.append((offset, event))
    return [event for _, event in kept]
