"""Inspect a set of images before anything is learned from it."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate import durable
from striate.data import ImageSet, SealedSplit, Source, open_source
from striate.data.build import content_digest
from striate.data.cache import read_json
from striate.data.seal import Opening
from striate.errors import DataError
from striate.evaluation import open_test, until_result
from striate.inspection import Findings, write
from striate.inspection import inspect as inspect_source
from striate.inspection.table import table
from striate.terminal import Reporter

__all__ = ["Inspection", "inspect", "table"]


@dataclass(frozen=True)
class Inspection:
    """The findings of an inspection, and the page that shows them."""

    findings: Findings
    report: Path
    """Path of the page; inspection.json lies beside it."""


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
    """Scan every image of a set for copies, leaks, wrong labels and broken files.

    Labels of test images take part in nothing unless `open_test_split` is given; that is an
    opening of the test split like any other, and is written into its ledger.

    Args:
        data: Path or name of the set.
        out: Folder of the page; None: inspections/TITLE, which no other set of this title
            overwrites.
        flips: Whether mirrored and turned copies may be cut, too.
        labels: Whether to search for suspected labels and outliers.
        open_test_split: Whether the labels of test images are checked too.
        groups: Pattern of the group in an image's name, such as "*/GROUP/*"; no split divides a
            group.
        reporter: Reporter of progress; None: none.

    Raises:
        DataError, LedgerError.
    """
    reporter = reporter or Reporter()
    source = open_source(str(data))
    folder = Path(out) if out is not None else _folder(source)
    durable.require_writable(folder, folder=True)

    options: dict[str, Any] = {"flips": flips, "labels": labels, "groups": groups}
    options["progress"] = reporter.progress
    try:
        findings = inspect_source(source, opened=False, **options)
        if open_test_split:
            with until_result(_open(findings, source, folder)):
                findings = inspect_source(source, opened=True, **options)
        return Inspection(findings, write(folder, findings, source))
    finally:
        reporter.close()


def _folder(source: Source) -> Path:
    """inspections/TITLE, or with a digest where another set of this title was inspected."""
    title = re.sub(r"[^\w.-]", "-", source.title)
    folder = Path("inspections") / title
    known = read_json(folder / "inspection.json")
    if not isinstance(known, dict) or known.get("source") == source.origin:
        return folder
    digest = hashlib.sha256(source.origin.encode("utf-8", "surrogateescape")).hexdigest()
    return folder.with_name(f"{title}-{digest[:8]}")


def _open(findings: Findings, source: Source, folder: Path) -> Opening:
    """Write the opening of the test split into its ledger."""
    scan, names = findings.scan, source.class_names or ("",)
    lines = [
        f"{names[item.label]}\0{digest}"
        for item, digest, split in zip(scan.items, scan.digests, findings.splits, strict=True)
        if split == "test"
    ]
    folder.mkdir(parents=True, exist_ok=True)
    sealed = SealedSplit(content_digest(lines), len(lines), _never)
    run_hash = hashlib.sha256(f"inspect {source.origin}".encode()).hexdigest()[:12]
    return open_test(sealed, run_hash=run_hash, run_folder=folder)


def _never() -> ImageSet:
    raise DataError("An inspection reads the images itself.")
