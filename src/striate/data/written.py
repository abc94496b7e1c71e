"""Runs that were written inside a folder of images: they are no part of the set.

`cd photos; striate train .` leaves photos/runs/NAME. The set must stay what it was, to the
last digit of its fingerprint.
"""

from collections.abc import Callable, Iterable

__all__ = ["outside_runs"]

Parts = tuple[str, ...]


def outside_runs(files: Iterable[Parts], folders: Iterable[Parts]) -> Callable[[Parts], bool]:
    """The test whether a file or folder belongs to the set, not to a run written into it.

    A run is a folder below the top that holds run.json beside events.jsonl or checkpoints/. A
    folder in which nothing but runs is left goes with them, and so does one called "runs" without
    a file, as a training leaves it that was cut short before its record.

    Args:
        files: names of all files, split at the slashes.
        folders: names of all folders.
    """
    files, folders = list(files), list(folders)
    heads = {parts[:-1] for parts in files if parts[-1] == "run.json" and len(parts) > 1}
    around = {parts for parts in folders if parts[-1] == "runs"}
    if not heads and not around:
        return lambda _: True
    beside = {parts[:-1] for parts in files if parts[-1] == "events.jsonl"}
    beside |= {parts[:-1] for parts in folders if parts[-1] == "checkpoints"}
    beside |= {parts[:-2] for parts in files if parts[-2:-1] == ("checkpoints",)}
    runs = heads & beside
    around |= {run[:depth] for run in runs for depth in range(1, len(run))}
    for parts in files:
        if not _within(parts, runs):
            around -= {parts[:depth] for depth in range(1, len(parts))}
    left_out = runs | around
    return lambda parts: not _within(parts, left_out)


def _within(parts: Parts, folders: set[Parts]) -> bool:
    return any(parts[:depth] in folders for depth in range(1, len(parts) + 1))
