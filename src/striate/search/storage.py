"""The trials of one search, in optuna's journal: a line of JSON for each change.

Several processes append to it under a lock. The system drops a lock when a process dies, and so it
does with the claim on a trial: one whose process was killed can be taken over at once.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.trial import TrialState

from striate import durable, locks
from striate.errors import ConfigError, RunError
from striate.randomness import derive_seed
from striate.reading import reported_as
from striate.search.space import Proposal, Space
from striate.search.trial import FINISHED, Trial, TrialRecord

_RANDOM_TRIALS = 8
"""Trials drawn at random before the others follow from them; optuna's ten are half of a search."""
_ENOUGH_FOR_IMPORTANCE = 8
JOURNAL = "trials.jsonl"


class Storage:
    """The trials of a search.

    Args:
        folder: Folder of the search.
        space: Space that is searched; its plan has the random seed of the draws, and the number
            of validations of a whole training.
        prune: Stop trials that do worse than the median of the others.
        lower_is_better: Direction of the metric.
    """

    def __init__(
        self, folder: Path, space: Space, *, prune: bool = True, lower_is_better: bool = True
    ) -> None:
        self.space = space
        self._claims, self._prune = folder / ".claims", prune
        self._seed, self._points = space.plan.training.seed, space.plan.training.validations
        damaged = reported_as(
            RunError, f"{folder / JOURNAL} cannot be read", "Restore it, or choose another --out."
        )
        with self._lock("lock", wait=True), _quiet(), damaged:
            self._study = _open_journal(folder, self._claims, lower_is_better)
            self.records()
            if not self._study.get_trials(deepcopy=False) and (plan := space.plan_stored()):
                self._study.enqueue_trial(plan)

    @contextmanager
    def claim(self, wanted: int, may_begin: Callable[[], bool]) -> Iterator[Trial | None]:
        """Claim a trial: one whose process died, else a new one; None when all are taken.

        Args:
            wanted: Number of finished trials that are wanted.
            may_begin: Whether there is time for a new one.
        """
        with ExitStack() as held:
            with self._lock("lock", wait=True), _quiet():
                trial = self._abandoned(held)
                if trial is None and self._count_taken() < wanted and may_begin():
                    new = self._study.ask()
                    held.enter_context(self._lock(str(new.number)))
                    trial = self._proposed(new, resumed=False)
            yield trial

    def records(self) -> list[TrialRecord]:
        """All trials in their order."""
        with _quiet():
            trials = self._study.get_trials(deepcopy=False)
        records = [TrialRecord.of(trial, self._points) for trial in trials]
        return [record for record in records if record is not None]

    def importance(self) -> dict[str, float]:
        """The share of each dimension in what makes a trial good, largest first; empty while
        there are too few trials.

        Source: Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently quantifying hyperparameter
        importance in arbitrary subspaces", 2023.
        """
        with _quiet():
            whole = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if len(whole) < _ENOUGH_FOR_IMPORTANCE or len({t.value for t in whole}) < 2:
                return {}
            # at least five good trials (optuna's advice), a tenth where there are many
            quantile = min(0.5, max(0.1, 5 / len(whole)))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
            return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    def _abandoned(self, held: ExitStack) -> Trial | None:
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                held.enter_context(self._lock(str(frozen.number)))
            except RunError:
                continue
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            return self._proposed(trial, resumed=True)
        return None

    def _count_taken(self) -> int:
        taken = (*FINISHED, TrialState.RUNNING)
        return len(self._study.get_trials(deepcopy=False, states=taken))

    def _proposed(self, trial: optuna.Trial, *, resumed: bool) -> Trial:
        # A sampler for each trial, so that a resumed search draws what it would have drawn.
        seed = derive_seed(self._seed, "search", trial.number) % 2**32
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=_RANDOM_TRIALS, constant_liar=True
        )
        proposal: Proposal | str
        try:
            proposal = self.space.propose(lambda dimension: dimension.draw(trial))
        except ConfigError as error:
            proposal = str(error)
        return Trial(self._study, trial, self._points, self._prune, proposal, resumed)

    def _lock(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        return locks.lock(self._claims / name, wait=wait, taken="taken")


def _open_journal(folder: Path, claims: Path, lower_is_better: bool) -> optuna.Study:
    """Open the study of a folder, or begin one.

    Args:
        folder: Folder of trials.jsonl.
        claims: Folder of the files that are locked.
        lower_is_better: Direction of the metric.
    """
    journal = folder / JOURNAL
    with durable.explaining(journal, "written"):
        backend = _Backend(str(journal), _Lock(journal, claims / "journal"))
    return optuna.create_study(
        storage=JournalStorage(backend),
        study_name="search",
        pruner=optuna.pruners.NopPruner(),
        direction="minimize" if lower_is_better else "maximize",
        load_if_exists=True,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence optuna: the search has messages of its own."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


class _Backend(JournalFileBackend):
    """The file of the journal; errors of its disk say which file it is."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with durable.explaining(Path(self._file_path), "written"):
            super().append_logs(logs)


class _Lock(JournalFileOpenLock):
    """A lock that the system drops when the process dies; optuna's own stays 30 s."""

    def __init__(self, journal: Path, lock: Path) -> None:
        super().__init__(str(journal))
        self._journal, self._file = journal, lock
        self._held = ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(locks.lock(self._file, wait=True, taken=""))
        with durable.explaining(self._journal, "written"):
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
