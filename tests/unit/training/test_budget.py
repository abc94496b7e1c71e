"""Minutes become steps: stages of different cost, and a machine that changes its speed."""

import pytest
import torch

from striate.config import TrainingConfig
from striate.data.batch import Batch
from striate.data.field import Mask
from striate.training import budget as module
from striate.training.budget import Budget, Clock
from striate.training.plan import Plan
from striate.training.stage import Stage, mean_seconds, resized, stage_ends

STAGES = (Stage(0.25, 1.0), Stage(1.0, 3.0))


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(module.time, "monotonic", fake.monotonic)
    return fake


def budget_of(seconds: float, stages: tuple[Stage, ...], **own: float) -> Budget:
    options = {"passes": 0, "pass_seconds": 0.0, "finish": 0.0, **own}
    return Budget(seconds, Clock(started=0.0), stages, **options)


@pytest.mark.parametrize(
    ("begin", "end", "mean"), [(0, 1, 2.5), (0, 0.25, 1), (0.25, 1, 3), (0, 0.5, 2), (0.9, 0.9, 3)]
)
def test_mean_cost_of_steps(begin: float, end: float, mean: float) -> None:
    assert mean_seconds(STAGES, begin, end) == pytest.approx(mean)


def test_steps_of_all_stages_fill_the_time(fake: FakeTime) -> None:
    assert budget_of(100, STAGES).steps_left(0, 0.0, 0.0) == 40  # 10 · 1 s + 30 · 3 s
    assert (
        budget_of(100, STAGES, finish=5, passes=10, pass_seconds=0.5).steps_left(0, 0.0, 0.0) == 36
    )


@pytest.mark.parametrize("slower", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("stages", [STAGES, (Stage(1.0, 2.0),), (Stage(0.6, 2.0), Stage(1.0, 0.5))])
def test_a_training_ends_with_its_time_on_a_machine_of_another_speed(
    fake: FakeTime, slower: float, stages: tuple[Stage, ...]
) -> None:
    found = budget_of(2_000, stages)
    plan = Plan.of(found.steps_left(0, 0.0, 0.0))
    found.begin(0, 0.0)
    step = 0
    while step < plan.total:
        progress = plan.progress(step)
        fake.now += slower * next(s.seconds for s in stages if progress < s.end)
        step += 1
        if step < plan.total and plan.crossed(step, 40):
            progress = plan.progress(step)
            plan = plan.changed(step, step + max(1, found.steps_left(step, progress, 0.0)))
            found.begin(step, progress)
    assert fake.now == pytest.approx(2_000, rel=0.01)


def test_a_pause_is_not_taken_for_slow_steps_whether_its_like_comes_or_not(fake: FakeTime) -> None:
    found = budget_of(100, (Stage(1.0, 1.0),))
    found.begin(0, 0.0)
    fake.now += 10 + 5  # ten steps and a validation
    found.paused(5.0, again=False)
    assert found.steps_left(10, 0.1, 4.0) == 85
    assert found.pause_seconds == 0.0
    fake.now += 2
    found.paused(2.0)
    assert found.steps_left(10, 0.1, 4.0) == 83 - 4 * 2


def test_a_validation_that_was_measured_sets_what_the_last_one_needs(fake: FakeTime) -> None:
    found = budget_of(100, STAGES, finish=1.0, passes=1_000, pass_seconds=0.001)
    assert found.closing == pytest.approx(2.0)
    found.validated(200, 0.8)
    assert found.closing == pytest.approx(5.0)


def test_stages_end_where_features_thaw_and_images_grow() -> None:
    training = TrainingConfig(batch_size=8, small_share=0.4)
    assert stage_ends(training, 0.3) == (0.3, 0.4, 1.0)
    assert stage_ends(TrainingConfig(batch_size=8), None) == (1.0,)
    assert stage_ends(training, 1.0) == (0.4, 1.0)


def test_small_images_keep_their_mean_and_become_large_again() -> None:
    training = TrainingConfig(batch_size=8, small_share=0.5, small_scale=0.625)
    images = torch.rand(2, 3, 32, 24)
    masks = torch.arange(32)[:, None].expand(2, 32, 24) // 8
    batch = Batch({"image": images, "mask": masks}, torch.arange(2))
    fields = {"mask": Mask("abcd")}
    small = resized(batch, fields, training, 0.49)
    assert small["image"].shape == (2, 3, 20, 15)
    torch.testing.assert_close(small["image"].mean((2, 3)), images.mean((2, 3)), rtol=0, atol=0.02)
    assert torch.equal(small["mask"], torch.arange(20)[:, None].expand(2, 20, 15) // 5)
    assert resized(batch, fields, training, 0.5) is batch
