"""One trial of a search: what is known of it, and what its process does with it."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from striate.search.dimension import Choices, Dimension
from striate.search.space import Proposal

__all__ = ["FINISHED", "Trial", "TrialRecord"]

_MEDIAN_OF = 4
"""So many trials must have been where one is given up: a median of fewer is chance."""
_SPARED = 0.3
"""Share of a training in which none is given up: a high rate looks bad before it falls."""

_STATES: dict[TrialState, Literal["whole", "pruned", "failed", "running"]] = {
    TrialState.COMPLETE: "whole",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TrialRecord:
    """The record of a trial."""

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

    @classmethod
    def of(cls, trial: FrozenTrial, points: int) -> "TrialRecord | None":
        """The journal's record of a trial; None for one that nobody has begun.

        Args:
            trial: of optuna.
            points: validations of a whole training.
        """
        if trial.state not in _STATES:
            return None
        errors = sorted(trial.intermediate_values.items())
        return cls(
            trial.number,
            _STATES[trial.state],
            dict(trial.params),
            dict(trial.user_attrs),
            tuple((point / points, error) for point, error in errors),
        )


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
            if t.state in FINISHED and point in t.intermediate_values
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
