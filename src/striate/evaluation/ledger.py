"""The ledger of test openings: each opening of a test split is written down before it happens.

A test split that was opened k times is no longer untouched: the best of k results is
optimistic. So every opening is an entry in a hash-chained file, one per test split, kept by the
content of the split, outside all runs. Each run folder keeps a receipt of the entries it made.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from striate import folders, locks
from striate.data.seal import Opening, SealedSplit, issue
from striate.errors import LedgerError
from striate.evaluation.chain import Chain, Entry, is_count
from striate.evaluation.receipt import Receipt, give_receipt, receipts_of, require_writable
from striate.typed_json import JsonRecord


@dataclass(frozen=True)
class OpeningRecord(JsonRecord):
    """One opening as the ledger tells it."""

    number: int
    time: str
    """UTC, ISO 8601."""
    run: str
    """Hash of the run's configuration."""
    folder: str
    version: str
    result: dict[str, Any] | None
    """Headline numbers; None when the evaluation did not end."""
    nothing_shown: bool | None = None
    """Whether the evaluation failed before it had shown anything; such an opening does not widen
    the interval of a later result."""


@dataclass(frozen=True)
class Verification:
    """Whether a ledger can be believed."""

    findings: tuple[str, ...]
    """Signs that it was altered, now or at an earlier opening; empty when it is sound."""
    notices: tuple[str, ...] = ()
    """Remarks that are no sign of tampering, such as a line torn by a crash."""

    @property
    def sound(self) -> bool:
        return not self.findings


def ledger_path(test_digest: str) -> Path:
    """The ledger file of a test split, whether it exists or not."""
    if not test_digest.isalnum():
        raise LedgerError(f"{test_digest!r} is no digest of a test split: letters and digits only.")
    return folders.home_dir() / "ledgers" / f"{test_digest}.jsonl"


def open_test(
    split: SealedSplit, *, run_hash: str, run_folder: Path, version: str | None = None
) -> Opening:
    """The permission to read a test split for one run; see `open_test_for`."""
    return open_test_for(split, [(run_hash, run_folder)], version=version)[0]


def open_test_for(
    split: SealedSplit, runs: Sequence[tuple[str, Path]], *, version: str | None = None
) -> list[Opening]:
    """The permission to read a test split, once its line in the ledger is on the disk.

    Several runs are one opening: their list is fixed before anything is read. Each gets a
    permission of its own, of the same number.

    A ledger that was altered does not stop the opening: the alteration is written into it as
    an entry of its own, and `verify` tells it from then on.

    Args:
        split: Sealed split.
        runs: Hash of the configuration and folder of each run that is evaluated; each folder
            gets a receipt and must exist.
        version: Version of Striate; None: the installed one.

    Raises:
        LedgerError: the ledger or the receipt cannot be written; the split stays closed.
    """
    folders = [Path(folder).resolve() for _, folder in runs]
    for folder in folders:
        require_writable(folder)
    digest = split.digest
    others = [[run, str(folder)] for (run, _), folder in zip(runs, folders, strict=True)][1:]
    with _locked(digest):
        chain = _read(digest)
        receipts = [receipt for folder in folders for receipt in receipts_of(folder)]
        for finding in _unrecorded(chain, _findings(chain, digest, receipts)):
            chain = chain.append({"kind": "altered", "time": _now(), "finding": finding})
        mine = [receipt.number for receipt in receipts if receipt.test == digest]
        number = max([chain.number, *mine]) + 1
        chain = chain.append(
            {
                "kind": "opening",
                "number": number,
                "time": _now(),
                "run": runs[0][0],
                "folder": str(folders[0]),
                **({"others": others} if others else {}),
                "version": version or installed_version("striate"),
            }
        )
        issued = [issue(digest, number, chain.last_hash) for _ in runs]
    with until_result(issued[0]):
        for folder, opening in zip(folders, issued, strict=True):
            give_receipt(folder, opening)
    return issued


@contextmanager
def until_result(opening: Opening) -> Iterator[None]:
    """The time from an opening to its result; what fails in it has shown nothing to anybody.

    Nothing of the test split may be printed or stored before `record_result`, which ends this
    time. After a failure the ledger says that the opening showed nothing; after a kill it cannot,
    and the opening counts.

    Args:
        opening: Opening from `open_test`.
    """
    try:
        yield
    except BaseException:
        with suppress(LedgerError), _locked(opening.test_digest):
            _read(opening.test_digest).append(
                {
                    "kind": "nothing shown",
                    "number": opening.number,
                    "time": _now(),
                    "opening": opening.entry_hash,
                }
            )
        raise


def record_result(opening: Opening, result: Mapping[str, Any]) -> None:
    """Write what came out of an opening into the ledger.

    Args:
        opening: Opening from `open_test`.
        result: Headline numbers as JSON values.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    with _locked(opening.test_digest):
        _read(opening.test_digest).append(
            {
                "kind": "result",
                "number": opening.number,
                "time": _now(),
                "opening": opening.entry_hash,
                "result": dict(result),
            }
        )


def openings(test_digest: str) -> list[OpeningRecord]:
    """All openings of a test split that its ledger tells, the first one first.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    chain = _read(test_digest)
    results = {
        str(entry.get("opening")): entry["result"]
        for entry in _entries(chain, "result")
        if _is_possible(entry.get("result"))
    }
    unseen = {str(entry.get("opening")) for entry in _entries(chain, "nothing shown")}
    return [
        OpeningRecord(
            number=entry["number"],
            **{key: str(entry.get(key)) for key in ("time", "run", "folder", "version")},
            result=results.get(str(entry.get("hash"))),
            nothing_shown=str(entry.get("hash")) in unseen - set(results),
        )
        for entry in _entries(chain, "opening")
        if isinstance(entry.get("number"), int)
    ]


def opened(test_digest: str) -> int:
    """How often a test split was opened so far, by all runs; 0 without a ledger.

    The highest number that the ledger or its head record knows: a removed line still counts.

    Args:
        test_digest: Digest of the split.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return _read(test_digest).number


def verify(test_digest: str, receipts: Iterable[Receipt] = ()) -> Verification:
    """Whether the ledger of a test split was altered, as far as it and its witnesses can tell.

    The witnesses are the chain itself, the head record beside it, the receipts, and those in the
    run folders that the ledger names.

    Args:
        test_digest: Digest of the split.
        receipts: Receipts of any run folders; those of other splits are passed over.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    chain = _read(test_digest)
    now = _findings(chain, test_digest, receipts)
    recorded = [
        f"{entry.get('finding')} (recorded {entry.get('time')})"
        for entry in _entries(chain, "altered")
    ]
    torn = "The last line was cut short by a crash while it was written; it never counted."
    notices = (torn,) if chain.was_torn else ()
    return Verification((*recorded, *_unrecorded(chain, now)), notices)


def _read(test_digest: str) -> Chain:
    origin = hashlib.sha256(f"striate test openings {test_digest}".encode()).hexdigest()
    return Chain.read(ledger_path(test_digest), origin)


@contextmanager
def _locked(test_digest: str) -> Iterator[None]:
    path = ledger_path(test_digest).with_suffix(".lock")
    with ExitStack() as held:
        try:
            taken = "Another process is writing this ledger."
            held.enter_context(locks.lock(path, wait=True, taken=taken))
        except OSError as error:
            raise LedgerError(
                f"The ledger cannot be locked: {path}: {error.strerror}. The test split stays "
                "closed; allow writing there, or set $STRIATE_HOME."
            ) from error
        yield


def _findings(chain: Chain, digest: str, receipts: Iterable[Receipt]) -> list[str]:
    """Everything that is wrong now, in plain words."""
    named = {str(entry["folder"]) for entry in _entries(chain, "opening") if "folder" in entry}
    kept = [receipt for folder in sorted(named) for receipt in receipts_of(Path(folder))]
    witnesses = {
        (receipt.number, receipt.hash): receipt
        for receipt in (*kept, *receipts)
        if receipt.test == digest
    }
    hashes = {entry.get("number"): entry.get("hash") for entry in _entries(chain, "opening")}
    findings = chain.problems()
    for entry in _entries(chain, "result"):
        if not _is_possible(entry.get("result")):
            findings.append(f"The result of opening {entry.get('number')} cannot be one.")
    for receipt in witnesses.values():
        if receipt.number not in hashes:
            findings.append(
                f"The run {receipt.folder} holds a receipt of opening {receipt.number}, which the "
                "ledger does not have (removed, or it happened on another machine)."
            )
        elif hashes[receipt.number] != receipt.hash:
            findings.append(
                f"Opening {receipt.number} in the ledger is not the one that the run "
                f"{receipt.folder} holds a receipt of."
            )
    return findings


def _is_possible(result: Any) -> bool:
    """Whether figures can be those of an evaluation."""
    if not isinstance(result, dict) or not isinstance(result.get("runs", []), list):
        return False
    figures = [value for key, value in result.items() if key != "runs" and value is not None]
    if not all(isinstance(value, (int, float)) and abs(value) < 1e15 for value in figures):
        return False
    wrong, n = result.get("wrong", 0), result.get("n", 1)
    return is_count(wrong) and is_count(n) and wrong <= n > 0


def _entries(chain: Chain, kind: str) -> list[Entry]:
    return [entry for entry in chain.entries if entry.get("kind") == kind]


def _unrecorded(chain: Chain, findings: list[str]) -> list[str]:
    known = {entry.get("finding") for entry in _entries(chain, "altered")}
    return [finding for finding in findings if finding not in known]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
