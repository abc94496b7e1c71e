"""Receipts: what a run folder keeps of the test openings that it made.

They witness for the ledger: an opening cannot vanish from it while its receipt lies in a run.
"""

import json
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from striate import durable
from striate.data.seal import Opening
from striate.errors import LedgerError
from striate.evaluation.chain import is_count
from striate.reading import json_or_none, read_bytes

RECEIPTS = "openings.jsonl"
"""Name of the file of receipts in a run folder."""


@dataclass(frozen=True)
class Receipt:
    """A run folder's own proof of an opening that it made."""

    test: str
    number: int
    hash: str
    folder: str


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot take a receipt, before the opening is written down.

    Raises:
        LedgerError: the folder is missing or cannot be written; the test split stays closed.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise LedgerError(
            f"{folder} cannot be written: {error.strerror}. An evaluation keeps its results and "
            "its receipt there; the test split stays closed. Allow writing there, or evaluate a "
            "copy of the folder."
        ) from error


def give_receipt(folder: Path, opening: Opening) -> None:
    """Write the receipt of an opening into the folder of the run that made it.

    Args:
        folder: Folder of the run, which exists.
        opening: Opening whose line is in the ledger already.

    Raises:
        LedgerError: the receipt cannot be written; the test split stays closed.
    """
    receipt = {"test": opening.test_digest, "number": opening.number, "hash": opening.entry_hash}
    path = folder / RECEIPTS
    try:
        durable.append_line(path, json.dumps(receipt))
    except OSError as error:
        raise LedgerError(
            f"The receipt of opening {opening.number} cannot be written into {folder}: "
            f"{error.strerror}. The opening is in the ledger; the test split stays closed."
        ) from error


def receipts_of(run_folder: Path) -> list[Receipt]:
    """The receipts of openings that a run folder keeps; unreadable lines are passed over.

    They name the folder by its absolute path, as the ledger does, in whatever form it is passed.
    """
    try:
        folder = Path(run_folder).resolve()
        lines = read_bytes(folder / RECEIPTS).splitlines()
    except (OSError, ValueError):
        # A folder that is gone or closed witnesses nothing; it does not stop an evaluation.
        return []
    receipts = []
    for line in lines:
        value = json_or_none(line)
        with suppress(ValueError, KeyError, TypeError):
            if is_count(number := value["number"]):
                test, digest = str(value["test"]), str(value["hash"])
                receipts.append(Receipt(test, number, digest, str(folder)))
    return receipts
