"""A number of minutes turned into a number of steps, by measuring.

The first estimate comes from a few steps of each stage on a copy of the network. While the training
runs the estimate is mended from the steps themselves, so that the schedule ends when the time does.
"""

import time
from dataclasses import dataclass, field

from striate.training.stage import Stage, mean_seconds

__all__ = ["Budget", "Clock"]

_MOST_CLOSING = 0.25
"""Share of the budget that the end may take: a training must remain."""
_NEWS = 0.3
"""Weight of the newest stretch in the speed that is expected."""


@dataclass
class Clock:
    """Seconds that a run has used, over all its sessions.

    Args:
        used: seconds of earlier sessions.
        started: `time.monotonic()` at the start of this one.
    """

    used: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return self.used + time.monotonic() - self.started


@dataclass
class Budget:
    """Seconds to spend, and what steps and pauses have cost so far.

    Args:
        seconds: the whole budget, from the start of the command to its end.
        clock: of the run.
        stages: what steps were measured to cost before the training.
        answers: forward passes of the last validation.
        answer_seconds: of one of them; mended when a validation is measured.
        finish: seconds kept for report and saving.
    """

    seconds: float
    clock: Clock
    stages: tuple[Stage, ...]
    answers: int
    answer_seconds: float
    finish: float
    slower: float = 1.0
    """Cost of a step as a multiple of what was measured before."""
    pause_seconds: float = 0.0
    _since: tuple[float, int, float, float] | None = None

    def begin(self, step: int, progress: float) -> None:
        """Start a stretch of steps to be measured."""
        self._since = (self.clock.seconds(), step, progress, 0.0)

    @property
    def closing(self) -> float:
        """Seconds that follow the last step."""
        wanted = self.finish + self.answers * self.answer_seconds
        return min(wanted, _MOST_CLOSING * self.seconds)

    def answered(self, answers: int, seconds: float) -> None:
        """Take note of what a validation cost."""
        self.answer_seconds = seconds / max(1, answers)

    def paused(self, seconds: float, again: bool = True) -> None:
        """Take note of time spent between steps (validation, checkpoint).

        Args:
            seconds: that are no steps.
            again: pauses like it are to come.
        """
        if again:
            self.pause_seconds = max(seconds, 0.5 * self.pause_seconds)
        if self._since is not None:
            began, step, progress, pauses = self._since
            self._since = (began, step, progress, pauses + seconds)

    def steps_left(self, step: int, progress: float, pauses_left: float) -> int:
        """Steps that still fit, when so many pauses are to come.

        Recent stretches count more than old ones, but none alone: a machine that is shared has
        slow moments that do not last.
        """
        if self._since is not None and step > self._since[1]:
            began, first, from_progress, pauses = self._since
            stretch = (self.clock.seconds() - began - pauses) / (step - first)
            slower = stretch / mean_seconds(self.stages, from_progress, progress)
            self.slower += _NEWS * (slower - self.slower)
        left = self.seconds - self.clock.seconds() - self.closing
        expected = self.slower * mean_seconds(self.stages, progress)
        return int((left - pauses_left * self.pause_seconds) / max(expected, 1e-6))
