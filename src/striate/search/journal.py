"""optuna's journal: one line of JSON for each thing that happened, appended under a lock.

The system drops the lock when a process dies, and so it does with the claim on a trial: one whose
process was killed can be taken over at once, by whoever comes next.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

from striate import durable

__all__ = ["CLAIMS", "open_journal", "quiet"]

CLAIMS = ".claims"
"""Folder beside the journal, of the files that are locked."""


def open_journal(folder: Path) -> optuna.Study:
    """The study of a folder, which is begun where there is none.

    Args:
        folder: with trials.jsonl, or for it.
    """
    journal = folder / "trials.jsonl"
    backend = JournalFileBackend(str(journal), _Lock(journal))
    return optuna.create_study(
        storage=JournalStorage(backend),
        study_name="search",
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without what optuna tells on the way: the search tells it in its own words."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


class _Lock(JournalFileOpenLock):
    """A lock that the system drops when the process dies; optuna's own stays 30 s."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held = ExitStack()

    def acquire(self) -> bool:
        place = self._journal.parent / CLAIMS / "journal"
        self._held.enter_context(durable.lock(place, wait=True, taken=""))
        _mend(self._journal)
        return True

    def release(self) -> None:
        self._held.close()


def _mend(journal: Path) -> None:
    """Take away a last line that a power cut tore."""
    with open(journal, "r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size == 0:
            return
        stream.seek(size - 1)
        if stream.read(1) == b"\n":
            return
        stream.seek(0)
        whole = stream.read().rfind(b"\n") + 1
        stream.truncate(whole)
