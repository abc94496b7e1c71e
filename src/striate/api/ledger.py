"""The ledger of a test split, found by data or by run, or all ledgers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate import folders
from striate.api.frame import decoded_images
from striate.api.request import Request
from striate.api.resolve import resolve
from striate.evaluation import (
    OpeningRecord,
    Reading,
    Receipt,
    adjusted_reading,
    opened,
    openings,
    percent,
    receipts_of,
    verify,
)
from striate.run_folder import RunFolder
from striate.terminal import Reporter
from striate.typed_json import JsonRecord


@dataclass(frozen=True)
class LedgerView(JsonRecord):
    """All openings of one test split, and whether they can be believed."""

    title: str
    test_digest: str
    count: int
    """Openings so far; those that are missing from the ledger but witnessed count."""
    records: tuple[OpeningRecord, ...]
    findings: tuple[str, ...]
    """Signs that the ledger was altered or lost; empty when it is sound."""
    notices: tuple[str, ...]
    reading: Reading | None
    """The latest result as it reads after so many openings."""

    @property
    def times(self) -> str:
        """The number of openings, in words."""
        plural = "s" if self.count > 1 else ""
        empty = sum(bool(record.nothing_shown) for record in self.records)
        but = f", {empty} of which showed nothing" * bool(empty)
        return "never opened" if self.count == 0 else f"opened {self.count} time{plural}{but}"

    def lines(self) -> list[str]:
        """The ledger as lines for a terminal."""
        openings = [
            f"{record.number:>4}  {record.time[:16]}  {_headline(record):<16}  {record.folder}"
            for record in self.records
        ]
        return [
            f"{self.title}: test split {self.test_digest[:12]}, {self.times}",
            *openings,
            *(f"The ledger was altered: {finding}" for finding in self.findings),
            *self.notices,
            *([] if self.reading is None else [self.reading.sentence]),
        ]

    def to_json(self) -> dict[str, Any]:
        """The ledger as JSON values."""
        values = super().to_json()
        return {**values, "openings": values.pop("records")}


def _headline(record: OpeningRecord) -> str:
    """The headline of an opening's result: a share of wrong items in percent."""
    if record.nothing_shown:
        return "nothing shown"
    result = record.result or {}
    numbers = ("n", "wrong", "low", "high", "runs")
    name = next((key for key in result if key not in numbers), None)
    if name is None:
        return "no result"
    value = result[name]
    spelled = "-" if value is None else f"{value:.4g}"
    return f"{name} {f'{percent(value)} %' if 'wrong' in result else spelled}"


def ledger(
    data: str | Path,
    *,
    split_seed: int | None = None,
    groups: str | None = None,
    assignments: tuple[str, ...] = (),
    reporter: Reporter | None = None,
) -> LedgerView:
    """The openings of the test split of data, wherever they lie, or of a run.

    The split is known by the content of its images, so that another path or another name of the
    same images shows the same ledger. Receipts in the runs under runs/ witness for it.

    Args:
        data: Path or name as in `train`, or the folder of a run or a study.
        split_seed: Random seed of the split, for data that name no test split; None: the one that
            `train` takes.
        groups: Pattern of groups, as in `train`: no split divides a group, which makes another
            test split.
        assignments: Further settings that the split depends on: "data.test_fraction=0.3".
        reporter: Receives notes and progress; None: nobody.

    Raises:
        DataError: there is no such data.
        LedgerError: the ledger cannot be read.
    """
    folder = Path(data)
    if (folder / "study.json").is_file():
        # All runs of a study have one test split.
        folder = next((path.parent for path in sorted(folder.glob("*/run.json"))), folder)
    if (folder / "run.json").is_file():
        record = RunFolder.existing(folder).record()
        return _view(record["data"]["title"], record["data"]["test_digest"], receipts_of(folder))
    reporter = reporter or Reporter()
    if split_seed is not None:
        assignments = (*assignments, f"data.split_seed={split_seed}")
    try:
        # In the form in which `train` decodes the data, so that what is decoded is used again.
        request = Request(data, groups=groups, assignments=assignments)
        plan = resolve(request, speed=None, reporter=reporter)
        dataset = decoded_images(plan.config, plan.source, reporter)
    finally:
        reporter.close()
    return _view(dataset.title, dataset.test.digest, [])


def _view(title: str, digest: str, receipts: list[Receipt]) -> LedgerView:
    runs = [path.parent for path in Path("runs").glob("*/run.json")]
    here = [receipt for run in runs for receipt in receipts_of(run)]
    witnesses = [receipt for receipt in (*receipts, *here) if receipt.test == digest]
    verification = verify(digest, witnesses)
    records = openings(digest)
    count = max([opened(digest), *(receipt.number for receipt in witnesses)])
    return LedgerView(
        title,
        digest,
        count,
        tuple(records),
        verification.findings,
        verification.notices,
        adjusted_reading(records, count),
    )


def known_ledgers() -> list[LedgerView]:
    """The ledgers of all test splits that were opened on this machine, lost ones too."""
    folder = folders.home_dir() / "ledgers"
    # A ledger that somebody deleted is known by its head record.
    known = {path.name.partition(".")[0] for path in folder.glob("[!.]*.json*")}
    return [_view("", digest, []) for digest in sorted(known)]
