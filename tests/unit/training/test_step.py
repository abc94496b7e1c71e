"""A step that is not finite leaves no trace; a finite one does what its optimiser says."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.randomness import layer_randomness
from striate.registry import Pick
from striate.training.loop import Training
from striate.training.step import learn
from tiny_training import step, tiny_training

CONSTANT = Pick("constant")


class Spoiled:
    """A task whose loss, or whose gradient, is not finite."""

    def __init__(self, task: Any, kind: str) -> None:
        self._task, self._kind = task, kind
        self.phases, self.weight = task.phases, task.weight

    def losses(self, networks: nn.Module, *rest: Any) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self._task.losses(networks, *rest)
        weight = next(networks.parameters())
        if self._kind == "loss":
            return {**losses, "loss": losses["loss"] + math.nan * weight.sum()}
        # The root of zero is zero, its slope is not finite.
        return {**losses, "loss": losses["loss"] + (weight - weight.detach()).abs().sum().sqrt()}


def state(training: Training) -> dict[str, Any]:
    parts = training.parts
    assert parts.average is not None
    weights = {name: p.detach() for name, p in parts.whole.named_parameters()}
    kept = {
        "w": weights,
        "o": [o.state_dict() for o in parts.optimisers.values()],
        "a": parts.average.state_dict(),
    }
    return copy.deepcopy(kept)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_step_that_is_not_finite_leaves_weights_moments_and_average_alone(
    tmp_path: Path, kind: str
) -> None:
    training = tiny_training(tmp_path, ema_half_life=0.2, schedule=CONSTANT)
    assert step(training, 0).is_finite
    before, parts = state(training), training.parts
    sound = parts.task
    parts.task = Spoiled(sound, kind)  # type: ignore[assignment]
    outcome = step(training, 1)
    assert not outcome.is_finite
    assert math.isfinite(outcome.loss) == (kind == "gradient")
    assert same(state(training), before)
    assert all(p.grad is None for p in parts.networks.parameters())  # nothing is left to be added
    parts.task = sound
    assert step(training, 2).is_finite
    assert not same(state(training)["w"], before["w"])
    assert not same(state(training)["a"], before["a"])


def test_the_rate_is_the_schedules_times_the_trainings(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, optimiser=Pick("gradient_descent", lr=0.5))
    parts, weights = training.parts, list(training.parts.networks.parameters())
    parts.networks.train()
    before = [w.detach().clone() for w in weights]
    gradients: dict[Tensor, Tensor] = {}
    for weight in weights:
        weight.register_post_accumulate_grad_hook(
            lambda w: gradients.update({w: w.grad.clone()})  # type: ignore[union-attr]
        )
    learn(
        parts,
        next(parts.loader),
        step=0,
        progress=0.75,
        training=training.config.training,
        rate=0.1,
    )
    for weight, old in zip(weights, before, strict=True):
        # A linear schedule has a quarter of 0.5 left, of which `rate` leaves a tenth.
        torch.testing.assert_close(weight.detach(), old - 0.0125 * gradients[weight])


def test_a_long_gradient_is_shortened_and_its_true_norm_reported(tmp_path: Path) -> None:
    plain, clipped = Pick("gradient_descent", lr=1.0), 1e-3
    moves, norms = [], []
    for clip in (None, clipped):
        training = tiny_training(tmp_path, optimiser=plain, schedule=CONSTANT, clip_norm=clip)
        weights = list(training.parts.networks.parameters())
        before = torch.cat([w.detach().flatten().clone() for w in weights])
        norms.append(step(training, 0, decay=None).gradient_norm)
        moves.append(torch.cat([w.detach().flatten() for w in weights]) - before)
    assert norms[0] == pytest.approx(norms[1])
    assert norms[0] == pytest.approx(float(moves[0].norm()), rel=1e-4)
    assert float(moves[1].norm()) == pytest.approx(clipped, rel=1e-3)
    torch.testing.assert_close(moves[1], moves[0] * clipped / norms[0], rtol=1e-3, atol=1e-7)


def test_layers_of_the_first_phase_draw_from_the_stream_of_their_step(tmp_path: Path) -> None:
    training = tiny_training(tmp_path)
    network = training.parts.networks["network"]
    drawn: list[Tensor] = []
    network.register_forward_hook(lambda *_: drawn.append(torch.rand(3)))
    for number in (3, 4):
        step(training, number)
    expected = []
    for number in (3, 4):
        with layer_randomness(training.config.training.seed, "layers", number):
            expected.append(torch.rand(3))
    assert torch.equal(torch.stack(drawn), torch.stack(expected))
