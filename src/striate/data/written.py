"""Leave out training runs that were written inside a folder of images.

`cd photos; striate train .` leaves photos/runs/NAME. The set must stay what it was, to the
last digit of its fingerprint.
"""

from collections.abc import Sequence

from striate.data.layout import Entry

Parts = tuple[str, ...]


def outside_runs(
    files: Sequence[Entry], folders: Sequence[Parts]
) -> tuple[list[Entry], list[Parts]]:
    """Leave out the files and folders that belong to a run, not to the set.

    A run is a folder below the top that holds run.json beside events.jsonl or checkpoints/. A
    folder in which nothing but runs is left goes with them, and so does one called "runs" without
    a file, as a training leaves it that was cut short before its record.

    Args:
        files: All files, their names split at the slashes.
        folders: Names of all folders, split likewise.
    """
    names = [entry.parts for entry in files]
    heads = {parts[:-1] for parts in names if parts[-1] == "run.json" and len(parts) > 1}
    around = {parts for parts in folders if parts[-1] == "runs"}
    if not heads and not around:
        return list(files), list(folders)
    beside = {parts[:-1] for parts in names if parts[-1] == "events.jsonl"}
    beside |= {parts[:-1] for parts in folders if parts[-1] == "checkpoints"}
    beside |= {parts[:-2] for parts in names if parts[-2:-1] == ("checkpoints",)}
    runs = heads & beside
    around |= {run[:depth] for run in runs for depth in range(1, len(run))}
    for parts in names:
        if not _within(parts, runs):
            around -= {parts[:depth] for depth in range(1, len(parts))}
    left_out = runs | around
    return (
        [entry for entry in files if not _within(entry.parts, left_out)],
        [parts for parts in folders if not _within(parts, left_out)],
    )


def _within(parts: Parts, folders: set[Parts]) -> bool:
    return any(parts[:depth] in folders for depth in range(1, len(parts) + 1))
