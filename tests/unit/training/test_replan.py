"""A run that was killed goes on with the re-plans that it had made, not with the clock's."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from striate.run_folder import RunFolder
from striate.training.budget import Budget, Clock
from striate.training.events import EventLog, read_events
from striate.training.loop import Training
from striate.training.plan import Plan
from striate.training.session import _resume


class Restored(Training):
    """A training whose checkpoint is what a test says."""

    saved: tuple[int, Plan, int]

    def restore(self, *, scheduled_only: bool = False) -> dict[str, Any]:
        self.step, self.plan, offset = self.saved
        return {"seconds": 12.5, "log_offset": offset}


class Hasty(Budget):
    """A budget that would have 1,000 steps more."""

    def begin(self, step: int, progress: float) -> None:
        pass

    def steps_left(self, *_: object) -> int:
        return 1_000


def go_on(path: Path, first: Plan) -> Restored:
    """The log of a run of 100 steps, saved at step 50 before the plan changed there, and killed."""
    with EventLog(path) as log:
        log.write("start", step=0, steps=100)
        offset = log.offset()
        log.write("plan", step=50, steps=120)
        log.write("step", step=51)
        log.write("plan", step=62, steps=110)
        log.write("step", step=70)
    with EventLog(path) as log:
        training = object.__new__(Restored)  # of its parts only these matter
        training.config = SimpleNamespace(training=SimpleNamespace(checkpoints=20))  # type: ignore[assignment]
        training.saved, training.log, training.clock = (50, first, offset), log, Clock()
        training.most_steps = sys.maxsize
        _resume(training, RunFolder(path.parent))
        for step in (62, 70, 71):
            training.step = step
            training._replan(object.__new__(Hasty))
    return training


def plans(path: Path) -> list[tuple[int, int]]:
    return [(e["step"], e["steps"]) for e in read_events(path) if e["event"] == "plan"]


def test_the_change_at_the_step_of_the_checkpoint_is_made_again(tmp_path: Path) -> None:
    training = go_on(tmp_path / "events.jsonl", Plan.of(100))
    assert training.plan == Plan.of(100).changed(50, 120).changed(62, 110).changed(71, 1071)
    assert plans(tmp_path / "events.jsonl") == [(50, 120), (62, 110), (71, 1071)]
    assert training.clock.used == 12.5


def test_a_change_that_the_checkpoint_holds_is_not_made_twice(tmp_path: Path) -> None:
    training = go_on(tmp_path / "events.jsonl", Plan.of(100).changed(50, 120))
    assert training.plan.pieces[:2] == ((0, 100), (50, 120))
    assert plans(tmp_path / "events.jsonl")[0] == (62, 110)
