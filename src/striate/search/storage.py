"""The trials of one search, in a file that several processes share.

The file is optuna's journal: one line of JSON for each thing that happened, appended under a lock
which the system drops when a process dies. So is the claim on a trial: one whose process was
killed can be taken over at once, by whoever comes next.
"""

import os
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.trial import TrialState

from striate import durable
from striate.errors import ConfigError, RunError
from striate.randomness import derive_seed
from striate.search.dimension import Choices, Dimension, Range
from striate.search.space import Proposal, Space

__all__ = ["Storage", "Trial", "TrialRecord"]

_RANDOM_TRIALS = 8
"""Drawn at random before the others follow from them; optuna's ten would be half of a search."""
_MEDIAN_OF = 4
"""So many trials must have been where one is given up: a median of fewer is chance."""
_SPARED = 0.3
"""Share of a training in which none is given up: a high rate looks bad before it falls."""
_ENOUGH_FOR_IMPORTANCE = 8

_STATES: dict[TrialState, Literal["whole", "pruned", "failed", "running"]] = {
    TrialState.COMPLETE: "whole",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a trial."""

    number: int
    state: Literal["whole", "pruned", "failed", "running"]
    drawn: Mapping[str, Any]
    """By dimension: number, or label of the choice."""
    told: Mapping[str, Any]
    """What was noted beside: see `Trial.note`."""
    errors: tuple[tuple[float, float], ...]
    """(progress, validation error) on the way."""

    @property
    def is_finished(self) -> bool:
        return self.state in ("whole", "pruned")


class Trial:
    """A trial that this process holds.

    Args:
        study: of optuna.
        trial: of optuna.
        points: validations of a whole training.
        prune: whether it may be given up.
    """

    def __init__(self, study: optuna.Study, trial: optuna.Trial, points: int, prune: bool) -> None:
        self._study, self._trial = study, trial
        self._points, self._prune = points, prune
        self.number: int = trial.number
        self.resumed = False
        self.proposal: Proposal | None = None
        self.problem = ""
        """Why there is no proposal."""

    def draw(self, dimension: Dimension) -> Any:
        """The value of a dimension: drawn now, or as it was drawn before."""
        key = dimension.key
        if isinstance(dimension, Choices):
            return dimension.value(self._trial.suggest_categorical(key, dimension.labels))
        if dimension.whole:
            low, high = int(dimension.low), int(dimension.high)
            return self._trial.suggest_int(key, low, high, log=dimension.log)
        return self._trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)

    def report(self, progress: float, error: float, low: float) -> bool:
        """Note the validation error at a point of the training; whether to give the trial up.

        It is given up where its error is above the median of the trials that came to this point,
        and not by the chance of few images: with the whole interval. Medians ask nothing of how a
        training goes on, where rungs as Hyperband's would compare rates before they fall.

        Args:
            progress: share of the training that is done.
            error: validation error.
            low: lower end of its interval.

        Source: the median rule: Golovin et al., "Google Vizier", 2017, section 3.2.
        """
        point = int(progress * self._points + 1e-6)
        trials = self._study.get_trials(deepcopy=False)
        if point not in trials[self.number].intermediate_values:  # a resumed training tells twice
            self._trial.report(error, point)
        others = [
            t.intermediate_values[point]
            for t in trials
            if t.state in _FINISHED and point in t.intermediate_values
        ]
        late = progress >= _SPARED and len(others) >= _MEDIAN_OF
        return self._prune and late and low > statistics.median(others)

    def note(self, **told: Any) -> None:
        """Write JSON values down beside the trial."""
        for name, value in told.items():
            self._trial.set_user_attr(name, value)

    def finish(self, error: float) -> None:
        """The trial was trained whole."""
        self._study.tell(self._trial, error)

    def prune(self) -> None:
        """The trial was given up."""
        self._study.tell(self._trial, state=TrialState.PRUNED)

    def fail(self, reason: str) -> None:
        """The trial could not be trained; another one takes its place."""
        self.note(reason=reason)
        self._study.tell(self._trial, state=TrialState.FAIL)


class Storage:
    """The trials of a search.

    Args:
        folder: of the search.
        space: what varies.
        seed: of what is tried.
        points: validations of a whole training.
        prune: give up trials that do worse than the median of the others.
    """

    def __init__(
        self, folder: Path, space: Space, *, seed: int, points: int, prune: bool = True
    ) -> None:
        self._claims = folder / ".claims"
        self._space, self._seed = space, seed
        self._points, self._prune = points, prune
        journal = folder / "trials.jsonl"
        with durable.lock(self._claims / "lock", wait=True, taken=""), _quiet():
            is_new = not journal.exists()
            backend = JournalFileBackend(str(journal), _Lock(journal))
            self._study = optuna.create_study(
                storage=JournalStorage(backend),
                study_name="search",
                pruner=optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            plan = space.plan_drawn()
            if is_new and plan:
                planned = [d for d in space.dimensions if d.key in plan]
                self._study.enqueue_trial({d.key: _stored(d, plan) for d in planned})

    @contextmanager
    def claim(self, most: int, may_begin: Callable[[], bool]) -> Iterator[Trial | None]:
        """A trial to train: one that was left behind, else a new one; None when all are taken.

        Args:
            most: finished trials that are wanted.
            may_begin: whether there is time for a new one.
        """
        with ExitStack() as held:
            with durable.lock(self._claims / "lock", wait=True, taken=""), _quiet():
                trial = self._left_behind(held)
                if trial is None and self._wanted(most) and may_begin():
                    trial = self._begin(held)
            yield trial

    def records(self) -> list[TrialRecord]:
        """All trials in their order."""
        with _quiet():
            trials = self._study.get_trials(deepcopy=False)
        return [
            TrialRecord(
                t.number,
                _STATES[t.state],
                dict(t.params),
                dict(t.user_attrs),
                tuple((p / self._points, e) for p, e in sorted(t.intermediate_values.items())),
            )
            for t in trials
            if t.state in _STATES
        ]

    def importance(self) -> dict[str, float]:
        """The share of each dimension in what makes a trial good, the largest first; empty while
        there are too few trials.

        Source: Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently quantifying hyperparameter
        importance in arbitrary subspaces", 2023.
        """
        with _quiet():
            whole = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if len(whole) < _ENOUGH_FOR_IMPORTANCE or len({t.value for t in whole}) < 2:
                return {}
            # five good trials at least (optuna's advice), a tenth where there are many
            quantile = min(0.5, max(0.1, 5 / len(whole)))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
            return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    def _left_behind(self, held: ExitStack) -> Trial | None:
        """A trial whose process died."""
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                held.enter_context(self._lock(frozen.number))
            except RunError:
                continue
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            return self._proposed(trial, resumed=True)
        return None

    def _wanted(self, most: int) -> bool:
        taken = (*_FINISHED, TrialState.RUNNING)
        return len(self._study.get_trials(deepcopy=False, states=taken)) < most

    def _begin(self, held: ExitStack) -> Trial:
        trial = self._study.ask()
        held.enter_context(self._lock(trial.number))
        return self._proposed(trial, resumed=False)

    def _proposed(self, trial: optuna.Trial, *, resumed: bool) -> Trial:
        # A sampler for each trial, so that a search that was stopped goes on as if it had not been.
        seed = derive_seed(self._seed, "search", trial.number) % 2**32
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=_RANDOM_TRIALS, constant_liar=True
        )
        found = Trial(self._study, trial, self._points, self._prune)
        found.resumed = resumed
        try:
            found.proposal = self._space.propose(found.draw)
        except ConfigError as error:
            found.problem = str(error)
        return found

    def _lock(self, number: int) -> Any:
        return durable.lock(self._claims / str(number), wait=False, taken="taken")


class _Lock(JournalFileOpenLock):
    """A lock that the system drops when the process dies; optuna's own stays 30 s."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held = ExitStack()

    def acquire(self) -> bool:
        place = self._journal.parent / ".claims" / "journal"
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


def _stored(dimension: Dimension, drawn: Mapping[str, Any]) -> Any:
    """A value as the journal has it."""
    value = drawn[dimension.key]
    if isinstance(dimension, Range):
        return value
    return dimension.labels[dimension.values.index(value)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what optuna tells on the way: the search tells it in its own words."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
