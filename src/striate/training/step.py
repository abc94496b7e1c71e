"""One step of the training: batch, loss, gradient, weights."""

import math
from dataclasses import dataclass

from torch import nn

from striate.config import TrainingConfig
from striate.randomness import layer_randomness
from striate.training.assemble import Parts
from striate.training.stage import resized

__all__ = ["Outcome", "learn"]


@dataclass(frozen=True)
class Outcome:
    """What a step found; the weights were left alone unless `is_finite`."""

    loss: float
    main_loss: float
    """Without auxiliary heads."""
    gradient_norm: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


def learn(
    parts: Parts,
    *,
    step: int,
    progress: float,
    training: TrainingConfig,
    rate: float = 1.0,
    average_decay: float | None = None,
) -> Outcome:
    """Take the loader's next batch and, if all is finite, one step of the optimiser.

    Args:
        parts: of the training.
        step: number of the step, which names the chance in layers.
        progress: share of the training done before this step.
        training: seed, largest norm of the gradient, sizes of images.
        rate: multiplies the schedule.
        average_decay: of the average of weights.
    """
    batch = next(parts.loader)
    if parts.frozen is not None:
        parts.frozen.follow(progress)
    for group in parts.optimiser.param_groups:
        base = group.setdefault("base_lr", group["lr"])
        group["lr"] = base * rate * parts.schedule(progress)
    images = resized(batch.images, training, progress)
    with layer_randomness(training.seed, "layers", step), parts.execution.autocast():
        losses = parts.task.losses(parts.network, images, batch.target)
    loss = float(losses["loss"].detach())
    main = float(losses.get("main", losses["loss"]).detach())
    if not math.isfinite(loss):
        return Outcome(loss, main, math.nan)
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    outcome = Outcome(loss, main, _clip(parts.network, training.clip_norm))
    if outcome.is_finite:
        parts.optimiser.step()
        if parts.average is not None and average_decay is not None:
            parts.average.update(parts.network, average_decay)
    parts.optimiser.zero_grad(set_to_none=True)
    return outcome


def _clip(network: nn.Module, largest: float | None) -> float:
    """The norm of the whole gradient, which is shortened to `largest` if it is longer."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if largest is not None:
        weights = [p for p in network.parameters() if p.grad is not None]
        nn.utils.clip_grads_with_norm_(weights, largest, norm)
    return float(norm)
