"""A hash-chained file: each line carries the hash of the line before it.

Changing, removing or inserting a line breaks the chain there. Cutting the end off does
not, which is why a head record beside the file says where the chain ended. Whoever rewrites the
chain, its head and every receipt together leaves no trace: the chain guards against accidents
and against the temptation of a moment, not against a forger with time.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate import durable
from striate.errors import LedgerError
from striate.reading import json_or_none, read_bytes

Entry = dict[str, Any]

_MOST = 10**12


def is_count(number: Any) -> bool:
    """Whether a value of a stored line is a number of openings or of items."""
    return isinstance(number, int) and 0 <= number <= _MOST


def entry_hash(entry: Entry) -> str:
    """SHA-256, hexadecimal, of an entry's canonical JSON without its own "hash"."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Chain:
    """The content of a chained file and its head record, sound or not."""

    path: Path
    origin: str
    """Hash that the first entry names as its previous one; it ties the file to its purpose."""
    lines: tuple[Entry | None, ...]
    """One per line; None where the line is no entry."""
    torn: bytes
    """The beginning of a last line whose writing was cut short; empty as a rule."""
    head: Entry | None
    """{"lines": how many, "number": the highest, "hash": of the last}."""

    @classmethod
    def read(cls, path: Path, origin: str) -> "Chain":
        """The chain as it is on the disk; a missing file is an empty chain.

        Raises:
            LedgerError: the file is there and cannot be read.
        """
        try:
            content = read_bytes(path) if path.exists() else b""
            head = _read_head(path)
        except OSError as error:
            raise LedgerError(f"The ledger {path} cannot be read: {error.strerror}.") from error
        *whole, rest = content.split(b"\n")
        # A last line that lacks only its end-of-line is whole; anything less was cut short.
        complete = _parse(rest)
        if complete is not None and complete.get("hash") == entry_hash(complete):
            whole, rest = [*whole, rest], b""
        return cls(path, origin, tuple(_parse(line) for line in whole), rest, head)

    @property
    def entries(self) -> list[Entry]:
        """The readable entries in order."""
        return [line for line in self.lines if line is not None]

    @property
    def number(self) -> int:
        """The highest number that an entry or the head knows; 0 for a new chain."""
        known = (entry.get("number") for entry in (*self.entries, self.head or {}))
        return max((number for number in known if isinstance(number, int)), default=0)

    @property
    def last_hash(self) -> str:
        """The hash that the next entry must name as its previous one."""
        return str(self.entries[-1].get("hash")) if self.entries else self.origin

    def problems(self) -> list[str]:
        """Signs that the file was changed, in plain words; empty when it is sound."""
        problems = []
        previous: str | None = self.origin
        for number, entry in enumerate(self.lines, start=1):
            if entry is None:
                problems.append(f"Line {number} cannot be read as an entry.")
            elif entry.get("hash") != entry_hash(entry):
                problems.append(f"Line {number} was edited: its content does not match its hash.")
            if entry is not None and previous not in (None, entry.get("previous")):
                line = f"line {number}" if number > 1 else "the first line"
                problems.append(f"Before {line} an entry was removed, inserted or replaced.")
            previous = None if entry is None else entry.get("hash")
        return problems + self._head_problems()

    def _head_problems(self) -> list[str]:
        there = len(self.lines)
        if self.head is None:
            # A crash between the first entry and its head record leaves exactly one line.
            return ["The head record of the ledger is missing."] if there > 1 else []
        lines, last = self.head.get("lines"), self.head.get("hash")
        if not isinstance(lines, int) or lines < 1:
            return ["The head record of the ledger was edited."]
        if there == 0:
            return [f"The whole ledger is missing; its head record knows of {lines} lines."]
        if there < lines:
            return [
                f"The end of the ledger is missing: {lines} lines were written, {there} remain."
            ]
        entry = self.lines[lines - 1]
        if entry is not None and entry.get("hash") != last:
            return [f"Line {lines} is not the entry that the head record knows."]
        return []

    @property
    def was_torn(self) -> bool:
        """Whether a crash cut the last line short. A line that the head knows was whole once."""
        known = (self.head or {}).get("lines")
        return bool(self.torn) and not (isinstance(known, int) and known > len(self.lines))

    def append(self, entry: Entry) -> "Chain":
        """The chain with one more entry, which is on the disk when this returns.

        The caller holds the lock and has read the chain under it.

        Raises:
            LedgerError: the entry could not be written; the file is as it was.
        """
        entry = {**entry, "previous": self.last_hash}
        entry["hash"] = entry_hash(entry)
        number = max(self.number, entry.get("number", 0))
        head = {"lines": len(self.lines) + 1, "number": number, "hash": entry["hash"]}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._complete_end()
            self._write(entry, head)
        except OSError as error:
            raise LedgerError(
                f"The ledger {self.path} cannot be written: {error.strerror}. The test split stays "
                "closed until it can; make room or allow writing, or set $STRIATE_HOME."
            ) from error
        return Chain(self.path, self.origin, (*self.lines, entry), b"", head)

    def _write(self, entry: Entry, head: Entry) -> None:
        """Write an entry, then the head record; without the head the entry is taken back."""
        end = self.path.stat().st_size if self.path.exists() else 0
        durable.append_line(self.path, json.dumps(entry, ensure_ascii=False))
        try:
            durable.sync_folder(self.path.parent)
            durable.write_json(_head_path(self.path), head)
        except BaseException:
            with suppress(OSError):
                if _read_head(self.path) != head:
                    os.truncate(self.path, end)
            raise

    def _complete_end(self) -> None:
        """Take a torn last line away, and end a whole one that lacks its end-of-line."""
        if not self.path.exists():
            return
        with open(self.path, "r+b") as stream:
            if self.torn:
                stream.truncate(self.path.stat().st_size - len(self.torn))
            elif self.lines:
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def _head_path(path: Path) -> Path:
    return path.with_suffix(".head.json")


def _read_head(path: Path) -> Entry | None:
    head = _head_path(path)
    return _parse(read_bytes(head)) if head.exists() else None


def _parse(line: bytes) -> Entry | None:
    """The entry of a line; None where it is none, or counts further than anybody does."""
    value = json_or_none(line)
    # Half of a character, which no entry that was written has, cannot be digested.
    if not isinstance(value, dict) or b"\\ud" in line.lower():
        return None
    return value if is_count(value.get("number", 0)) else None
