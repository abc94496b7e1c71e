"""Inspect a set of images before anything is learned from it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from striate.data import ImageSet, SealedSplit, Source, open_source
from striate.data.build import content_digest
from striate.errors import DataError
from striate.evaluation import open_test
from striate.inspection import Findings, write
from striate.inspection import inspect as find
from striate.terminal import Reporter

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True)
class Inspection:
    """The findings of an inspection, and the path of its page."""

    findings: Findings
    report: Path
    """The page; inspection.json lies beside it."""


def inspect(
    data: str | Path,
    *,
    out: str | Path | None = None,
    flips: bool = False,
    labels: bool = True,
    open_test_split: bool = False,
    groups: str | None = None,
    reporter: Reporter | None = None,
) -> Inspection:
    """Scan every image of a set: copies, leaks, doubtful labels, broken files.

    Labels of test images take part in nothing unless `open_test_split` is given; that is an
    opening of the test split like any other, and is written into its ledger.

    Args:
        data: path or name.
        out: the folder of the page; None: inspections/TITLE.
        flips: take mirror images for copies too.
        labels: look for suspected labels and outliers.
        open_test_split: doubt the labels of test images too.
        groups: where the images' names hold that of a group which no split divides: "*/GROUP/*".
        reporter: is told what happens; None: nobody.

    Raises:
        DataError, LedgerError.
    """
    reporter = reporter or Reporter()
    source = open_source(str(data))
    folder = Path(out) if out is not None else Path("inspections") / _plain(source.title)
    try:
        found = find(source, flips=flips, labels=labels, groups=groups, progress=reporter.progress)
        if open_test_split:
            _open(found, source, folder)
            found = find(
                source,
                flips=flips,
                labels=labels,
                opened=True,
                groups=groups,
                progress=reporter.progress,
            )
        return Inspection(found, write(folder, found, source))
    finally:
        reporter.close()


def _open(found: Findings, source: Source, folder: Path) -> None:
    """Write the opening of the test split into its ledger."""
    names = source.class_names
    lines = [
        f"{names[item.label]}\0{digest}"
        for item, digest, split in zip(
            found.seen.items, found.seen.digests, found.splits, strict=True
        )
        if split == "test"
    ]
    folder.mkdir(parents=True, exist_ok=True)
    sealed = SealedSplit(content_digest(lines), len(lines), _never)
    asked = hashlib.sha256(f"inspect {source.origin}".encode()).hexdigest()[:12]
    open_test(sealed, run_hash=asked, run_folder=folder)


def _never() -> ImageSet:
    raise DataError("An inspection reads the images itself.")


def _plain(title: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in title)
