"""The trials of one search, in a file that several processes share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from striate import durable
from striate.errors import ConfigError, RunError
from striate.randomness import derive_seed
from striate.search.dimension import Dimension, Range
from striate.search.journal import CLAIMS, open_journal, quiet
from striate.search.space import Space
from striate.search.trial import FINISHED, Trial, TrialRecord

__all__ = ["Storage"]

_RANDOM_TRIALS = 8
"""Drawn at random before the others follow from them; optuna's ten would be half of a search."""
_ENOUGH_FOR_IMPORTANCE = 8


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
        self._claims = folder / CLAIMS
        self._space, self._seed = space, seed
        self._points, self._prune = points, prune
        with durable.lock(self._claims / "lock", wait=True, taken=""), quiet():
            self._study = open_journal(folder)
            plan = space.plan_drawn()
            if plan and not self._study.get_trials(deepcopy=False):
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
            with durable.lock(self._claims / "lock", wait=True, taken=""), quiet():
                trial = self._left_behind(held)
                if trial is None and self._wanted(most) and may_begin():
                    trial = self._begin(held)
            yield trial

    def records(self) -> list[TrialRecord]:
        """All trials in their order."""
        with quiet():
            trials = self._study.get_trials(deepcopy=False)
        records = [TrialRecord.of(trial, self._points) for trial in trials]
        return [record for record in records if record is not None]

    def importance(self) -> dict[str, float]:
        """The share of each dimension in what makes a trial good, the largest first; empty while
        there are too few trials.

        Source: Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently quantifying hyperparameter
        importance in arbitrary subspaces", 2023.
        """
        with quiet():
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
        taken = (*FINISHED, TrialState.RUNNING)
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


def _stored(dimension: Dimension, drawn: Mapping[str, Any]) -> Any:
    """A value as the journal has it."""
    value = drawn[dimension.key]
    if isinstance(dimension, Range):
        return value
    return dimension.labels[dimension.values.index(value)]
