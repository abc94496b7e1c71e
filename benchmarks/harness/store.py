"""Results on the disk: one JSON file per benchmark, whole after each measurement.

A benchmark that was stopped goes on where it was; one that is done adds nothing. Figures of two
machines, or with and without a limit on the instruction set, never share a file.
"""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe, fingerprint
from benchmarks.harness.round import Job

__all__ = ["OtherMachineError", "Store", "load"]

_FORMAT = 1


class OtherMachineError(RuntimeError):
    """The file holds figures that do not belong with new ones."""


class Store:
    """The results of one benchmark.

    Args:
        folder: where the file lies.
        part: name of the benchmark.
        isa: limit on the instruction set; None: none.
        settings: what shapes a figure (seconds measured, ...); kept, shown.
        fresh: put an older file aside instead of going on with it.

    Raises:
        OtherMachineError: the file is from another machine, format or setting.
    """

    def __init__(
        self,
        folder: Path,
        part: str,
        *,
        isa: str | None = None,
        settings: dict[str, Any] | None = None,
        fresh: bool = False,
    ) -> None:
        self.path = folder / (f"{part}.json" if isa is None else f"{part}-{isa}.json")
        machine = describe()
        self.content: dict[str, Any] = {
            "format": _FORMAT,
            "part": part,
            "isa": isa,
            "machine": {"id": fingerprint(machine), **machine},
            "settings": settings or {},
            "choices": {},
            "absent": {},
            "records": [],
        }
        if self.path.is_file():
            if fresh:
                self.path.replace(self.path.with_suffix(".before.json"))
            else:
                self._go_on()

    def _go_on(self) -> None:
        before = load(self.path)
        for key, advice in (
            ("format", "written by another version"),
            ("settings", "measured with other settings"),
        ):
            if before[key] != self.content[key]:
                raise OtherMachineError(
                    f"{self.path} was {advice} ({before[key]} where now {self.content[key]} holds)."
                    " Add --fresh to begin anew, or --results FOLDER to keep both."
                )
        if before["machine"]["id"] != self.content["machine"]["id"]:
            raise OtherMachineError(
                f"{self.path} is from another machine ({before['machine']['processor']}, "
                f"{before['machine']['cores']} cores). Add --fresh to begin anew, or "
                "--results FOLDER to keep both."
            )
        before["absent"] = {}  # asked again at each start
        self.content = before

    def has(self, job: Job) -> bool:
        """Whether the figures of a job are there; a failure is tried again at the next start."""
        return any(_is(record, job) and "error" not in record for record in self.records)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All measurements, in the order they were made."""
        records: list[dict[str, Any]] = self.content["records"]
        return records

    def add(self, job: Job, **found: Any) -> None:
        """Write the figures (or the `error`) of a job; an older failure of it is replaced."""
        self.content["records"] = [record for record in self.records if not _is(record, job)]
        taken = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        where = {"case": job.case, "peer": job.peer, "repeat": job.repeat, "taken": taken}
        self.content["records"].append({**where, **found})
        self.write()

    def write(self) -> None:
        """Save, so that a crash leaves the old file or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self.content, file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


def load(path: Path) -> dict[str, Any]:
    """The content of a results file."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _is(record: dict[str, Any], job: Job) -> bool:
    return (record["case"], record["peer"], record["repeat"]) == (job.case, job.peer, job.repeat)
