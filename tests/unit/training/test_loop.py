"""A training from its first step to its last: validations, re-plans, ways back, resumption."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.errors import DivergenceError
from striate.evaluation import Columns, Scores
from striate.training import budget
from striate.training.budget import Budget, Clock
from striate.training.events import Event, EventLog, read_events
from striate.training.interrupt import Interrupt
from striate.training.loop import Training
from striate.training.stage import Stage
from tiny_training import labels, listening, predictions, tiny_training


def weights(training: Training) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in training.parts.networks.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("mode", [True, False])
def test_answers_leave_the_network_in_its_own_mode(tmp_path: Path, mode: bool) -> None:
    training = tiny_training(tmp_path)
    training.parts.networks.train(mode)
    before = weights(training)
    predictions(training)
    assert all(m.training is mode for m in training.parts.whole.modules())
    assert equal(weights(training), before)  # running means and variances as well

    def lost(done: int, of: int) -> None:
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        predictions(training, progress=lost)
    assert all(m.training is mode for m in training.parts.whole.modules())


def test_answers_do_not_depend_on_the_mode_or_on_the_images_beside(tmp_path: Path) -> None:
    training = tiny_training(tmp_path)
    training.run(Interrupt())
    training.parts.networks.train()
    whole = predictions(training)
    torch.testing.assert_close(torch.from_numpy(whole.sum(1)), torch.ones(len(whole)).double())
    training.parts.networks.eval()
    torch.testing.assert_close(whole, predictions(training, batch_size=5), rtol=1e-5, atol=1e-6)
    seen: list[tuple[int, int]] = []
    predictions(training, batch_size=5, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(min(5 * i, len(whole)), len(whole)) for i in range(1, len(seen) + 1)]
    assert seen[-1] == (len(whole), len(whole))


def test_validations_change_nothing_of_the_training(tmp_path: Path) -> None:
    ends = []
    for validations in (1, 6):
        log, events = listening(tmp_path)
        training = tiny_training(tmp_path, log, validations=validations, ema_half_life=0.1)
        training.run(Interrupt())
        ends.append(weights(training))
        assert [e["event"] for e in events].count("validation") == validations
    assert equal(*ends)


class TooLongError(Exception):
    """A plan of more steps than were asked for."""


@pytest.mark.parametrize("seconds", [1e9, 1e-9])
def test_minutes_never_lengthen_a_training_beyond_its_steps(tmp_path: Path, seconds: float) -> None:
    """Of minutes and steps that are given together the shorter holds, however fast steps are."""

    def note(event: Event) -> None:
        if event.get("steps", 0) > 12:
            raise TooLongError

    training = tiny_training(tmp_path, EventLog(tmp_path / "events.jsonl", (note,)))
    stages = (Stage(1.0, 1.0),)
    training.budget = Budget(seconds, training.clock, stages, 0, pass_seconds=0.0, finish=0.0)
    assert training.plan.total == training.most_steps == 12
    training.run(Interrupt())
    # Of three checkpoints the clock is looked at twice as often: first after two steps.
    assert training.step == training.plan.total == (12 if seconds > 1 else 3)


def spoil_at(training: Training, *spoiled: int) -> list[int]:
    """Make the loss of these calls infinite; the calls of the task as they come are counted."""
    losses, calls = training.parts.task.losses, [0]

    def changed(*words: Any) -> dict[str, Tensor]:
        calls[0] += 1
        found = losses(*words)
        return {**found, "loss": found["loss"] * math.inf} if calls[0] in spoiled else found

    object.__setattr__(training.parts.task, "losses", changed)
    return calls


def test_after_a_divergence_training_goes_on_from_the_checkpoint_at_a_tenth(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        training = tiny_training(tmp_path, log)
        calls = spoil_at(training, 7)  # step 6; checkpoints at 0, 4, 8, 12
        training.run(Interrupt())
    assert calls[0] == 12 + 3
    assert training.rate == 0.1
    (rewind,) = [e for e in read_events(path) if e["event"] == "rewind"]
    assert (rewind["reason"], rewind["step"], rewind["to_step"]) == ("diverged", 6, 4)
    assert "step 6" in rewind["text"]
    rates = {e["step"]: e["lr"] for e in read_events(path) if e["event"] == "step"}
    assert sorted(rates) == list(range(1, 13))
    for done, rate in rates.items():
        slower = 0.1 if done > 4 else 1.0
        assert rate == pytest.approx(0.01 * (1 - (done - 1) / 12) * slower)


def test_a_second_divergence_ends_the_training(tmp_path: Path) -> None:
    training = tiny_training(tmp_path)
    spoil_at(training, 7, 9)
    with pytest.raises(DivergenceError, match=r"step 5 the loss became inf.*a second time"):
        training.run(Interrupt())


def test_a_training_that_was_stopped_ends_as_if_it_never_was(tmp_path: Path) -> None:
    """Weights, average, moments, logged losses and probabilities, bit for bit."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = tiny_training(tmp_path / "whole", listening(tmp_path / "whole")[0], ema_half_life=0.2)
    expected = whole.run(Interrupt())
    assert expected is not None
    for stop in (5, 9):
        interrupt = Interrupt()

        def note(event: Event, stop: int = stop, interrupt: Interrupt = interrupt) -> None:
            interrupt.reason = "enough" if event.get("step") == stop else None

        log = EventLog(tmp_path / "parts/events.jsonl", (note,))
        training = tiny_training(tmp_path / "parts", log, ema_half_life=0.2)
        if stop > 5:
            training.restore()
            assert training.step == 5
        assert training.run(interrupt) is None
        assert training.step == stop
    resumed = tiny_training(tmp_path / "parts", ema_half_life=0.2)
    resumed.restore()
    found = resumed.run(Interrupt())
    assert found is not None
    assert (found.rows["probabilities"] == expected.rows["probabilities"]).all()
    assert equal(weights(resumed), weights(whole))
    assert resumed.parts.average is not None
    assert whole.parts.average is not None
    assert equal(resumed.parts.average.weights(), whole.parts.average.weights())


def test_the_log_tells_losses_and_the_validation_error(tmp_path: Path) -> None:
    log, events = listening(tmp_path)
    training = tiny_training(tmp_path, log, validations=3)
    scores = training.run(Interrupt())
    assert scores is not None
    truth, probabilities = labels(training), scores.rows["probabilities"]
    steps = [e for e in events if e["event"] == "step"]
    assert [e["step"] for e in steps] == list(range(1, 13))
    assert all(e["of"] == 12 for e in steps)
    validations = [e for e in events if e["event"] == "validation"]
    assert [e["step"] for e in validations] == [4, 8, 12]
    assert [e["progress"] for e in validations] == [0.333333, 0.666667, 1.0]
    last = validations[-1]
    assert last["num_items"] == len(truth)
    assert last["error"] == (probabilities.argmax(1) != truth).mean()
    assert last["low"] <= last["error"] <= last["high"]
    chosen = [float(p[label]) for p, label in zip(probabilities, truth, strict=True)]
    assert last["loss"] == pytest.approx(-sum(map(math.log, chosen)) / len(chosen))
    assert events[-1]["event"] == "finished"


def test_a_training_that_is_no_better_than_one_prediction_says_so(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, steps=2)
    rows = Columns({"probabilities": np.eye(3)[[0] * 10], "labels": np.array([0] * 4 + [1] * 6)})
    metrics = training.parts.task.meter(training.parts.data).metrics
    (text,) = training._doubts(Scores(metrics, rows))
    assert text == (
        "Validation error 60.0 % is no better than that of one prediction for all images, 40.0 %."
    )
    right = Columns({"probabilities": np.eye(3)[rows["labels"]], "labels": rows["labels"]})
    assert not list(training._doubts(Scores(metrics, right)))


def test_less_than_one_epoch_by_the_clock_says_so(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, steps=2)
    labels = np.arange(3)
    metrics = training.parts.task.meter(training.parts.data).metrics
    scores = Scores(metrics, Columns({"probabilities": np.eye(3), "labels": labels}))
    training.step = 2
    assert not list(training._doubts(scores))  # as many steps as were wished for
    training.budget = Budget(60.0, Clock(), (), 1, 0.1, 0.1)
    (text,) = training._doubts(scores)
    share = 2 * 8 / len(training.data.train)
    assert text.startswith(f"The time was enough to show {share:.0%} of the training images once")


def test_slow_steps_are_timed_once_for_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    monkeypatch.setattr(budget, "learn", lambda *_, step, **__: steps.append(step))
    training = tiny_training(tmp_path, minutes=1.0, steps=None)
    budget.measure_stages(training.config, training.parts)
    assert steps == [0, 1, 2, 3]
    steps.clear()
    clock = iter(range(0, 1_000, 3))
    monkeypatch.setattr(budget.time, "perf_counter", lambda: float(next(clock)))
    budget.measure_stages(training.config, training.parts)
    assert steps == [0, 1]
