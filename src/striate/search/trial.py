"""One trial of a search: the record of it, and the trial in the hands of this process."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from striate.search.space import Proposal, Space
from striate.typed_json import JsonRecord, record_of

_MEDIAN_OF = 4
"""Finished trials that must exist before one is pruned: a median of fewer is luck."""
_NOT_BEFORE = 0.3
"""Share of a training in which none is pruned: with a high rate the metric is bad at first."""

State = Literal["whole", "pruned", "failed", "running"]
_STATES: dict[State, TrialState] = {
    "whole": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class _Notes(JsonRecord):
    """The types of a trial's notes, as `TrialRecord.notes` explains them."""

    run: str | None
    values: Mapping[str, Any] | None
    wrong: int | None
    n: int | None
    low: float | None
    high: float | None
    loss: float | None
    seconds: float | None
    ended: str | None
    reason: str | None

    @property
    def has_result(self) -> bool:
        """Whether the images were counted, and those that are wrong or the ends of an interval."""
        if self.n is None or self.n < 1:
            return False
        if self.wrong is None:
            return self.low is not None and self.high is not None
        return 0 <= self.wrong <= self.n


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the journal knows it."""

    number: int
    state: State
    drawn: Mapping[str, Any]
    """Number, or label of the choice, by dimension."""
    notes: Mapping[str, Any]
    """JSON values that were written beside the trial: "run" (folder), "values" (settings),
    "wrong" and "n" or "low" and "high" (of the headline), "loss", "seconds", "ended", "reason"."""
    curve: tuple[tuple[float, float], ...]
    """(progress, validation metric) during the training."""
    value: float | None = None
    """Validation metric at the end; None for a trial that was not trained whole."""

    @classmethod
    def of(cls, trial: FrozenTrial, points: int) -> "TrialRecord | None":
        """The record of optuna's trial, of `points` validations; None for one not yet begun.

        Raises:
            ValueError: notes of other types, or a trial trained whole without its result.
        """
        state = next((name for name, state in _STATES.items() if state is trial.state), None)
        if state is None:
            return None
        notes = record_of(_Notes, trial.user_attrs)
        if state == "whole" and not notes.has_result:
            raise ValueError(f"trial {trial.number} was trained whole, and its result is not there")
        curve = sorted(trial.intermediate_values.items())
        return cls(
            trial.number,
            state,
            dict(trial.params),
            dict(trial.user_attrs),
            tuple((point / points, value) for point, value in curve),
            trial.value if state == "whole" else None,
        )

    @property
    def is_finished(self) -> bool:
        return self.state in ("whole", "pruned")

    @property
    def run(self) -> str:
        """Name of the run's folder; empty for a trial that had none."""
        return str(self.notes.get("run", ""))

    @property
    def ending(self) -> str:
        """How a trial ended that was not trained whole."""
        if self.state == "running":
            return "under way"
        return str(self.notes.get("ended") or self.notes.get("reason") or self.state)

    def is_plan(self, space: Space) -> bool:
        """Whether the trial is what `train` would do."""
        plan = space.plan_stored()
        return bool(plan) and plan.items() <= self.drawn.items()

    def cells(self, keys: Sequence[str]) -> list[str]:
        """The settings of the trial as text; empty where it does not have one."""
        values = self.notes.get("values") or {}
        texts = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in values.items()}
        if "width" in texts:
            texts["width"] = f"×{texts['width']}"
        return [texts.get(key, "") for key in keys]


@dataclass(frozen=True)
class Trial:
    """A trial that this process holds."""

    study: optuna.Study
    trial: optuna.Trial
    points: int
    """Validations of a whole training."""
    prune: bool
    """Whether it may be stopped early."""
    proposal: Proposal | str
    """The configuration to train, or why there is none."""
    resumed: bool
    """Whether another process began it."""

    @property
    def number(self) -> int:
        return self.trial.number

    def report(self, progress: float, value: float, best: float) -> bool:
        """Write down the validation metric at a point of the training; whether to prune the trial.

        It is pruned where its metric is worse than the median of the trials that came to this
        point, and not only for want of images: with its whole interval. Medians assume nothing
        about the rest of a training, where Hyperband would compare rates before they fall.

        Args:
            progress: Share of the training that is done.
            value: Validation metric.
            best: Better end of its interval.

        Source: the median rule: Golovin et al., "Google Vizier", 2017, section 3.2.
        """
        point = int(progress * self.points + 1e-6)
        trials = self.study.get_trials(deepcopy=False)
        if point not in trials[self.number].intermediate_values:  # a resumed training repeats some
            self.trial.report(value, point)
        others = [
            t.intermediate_values[point]
            for t in trials
            if t.state in FINISHED and point in t.intermediate_values
        ]
        if not self.prune or progress < _NOT_BEFORE or len(others) < _MEDIAN_OF:
            return False
        median = statistics.median(others)
        minimised = self.study.direction is StudyDirection.MINIMIZE
        return best > median if minimised else best < median

    def note(self, **values: Any) -> None:
        """Write JSON values down beside the trial."""
        for name, value in values.items():
            self.trial.set_user_attr(name, value)

    def end(self, state: State, value: float | None = None, **notes: Any) -> None:
        """End the trial with its metric; one that failed is replaced by another."""
        self.note(**notes)
        self.study.tell(self.trial, value, state=_STATES[state])
