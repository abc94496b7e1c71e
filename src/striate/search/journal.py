"""optuna's journal: one line of JSON for each change, appended under a lock.

The system drops the lock when a process dies, and so it does with the claim on a trial: one whose
process was killed can be taken over at once by the next process.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

from striate import durable


def open_journal(folder: Path, locks: Path, lower_is_better: bool) -> optuna.Study:
    """Open the study of a folder, or begin one.

    Args:
        folder: Folder of trials.jsonl.
        locks: Folder of the files that are locked.
        lower_is_better: Direction of the metric.
    """
    journal = folder / "trials.jsonl"
    backend = JournalFileBackend(str(journal), _Lock(journal, locks / "journal"))
    return optuna.create_study(
        storage=JournalStorage(backend),
        study_name="search",
        pruner=optuna.pruners.NopPruner(),
        direction="minimize" if lower_is_better else "maximize",
        load_if_exists=True,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence optuna: the search has messages of its own."""
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

    def __init__(self, journal: Path, lock: Path) -> None:
        super().__init__(str(journal))
        self._journal, self._file = journal, lock
        self._held = ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(durable.lock(self._file, wait=True, taken=""))
        _drop_torn_line(self._journal)
        return True

    def release(self) -> None:
        self._held.close()


def _drop_torn_line(journal: Path) -> None:
    """Remove a last line that a power cut left incomplete."""
    with open(journal, "r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        if stream.read(1) in (b"", b"\n"):
            return
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
