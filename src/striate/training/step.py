"""One step of the training: batch, loss, gradient, weights, once for each phase of the task."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from torch import nn

from striate.config import TrainingConfig
from striate.data.batch import Batch
from striate.randomness import layer_randomness
from striate.training.assemble import Parts
from striate.training.stage import resized


@dataclass(frozen=True)
class Outcome:
    """Losses and gradient of a step; weights were left alone in a phase that is not finite."""

    losses: dict[str, float]
    """The loss of each phase."""
    main_loss: float
    """Loss of the first phase without auxiliary heads."""
    gradient_norm: float
    """Norm of the whole gradient of the last phase."""

    @property
    def loss(self) -> float:
        """Loss of the first phase."""
        return next(iter(self.losses.values()))

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, (*self.losses.values(), self.gradient_norm)))


def learn(
    parts: Parts,
    batch: Batch,
    *,
    step: int,
    progress: float,
    training: TrainingConfig,
    rate: float = 1.0,
    average_decay: float | None = None,
) -> Outcome:
    """Take one step of each phase's optimiser on a batch, if all is finite.

    Args:
        parts: Parts of the training.
        batch: Items of this step.
        step: Number of the step, which names the randomness of layers.
        progress: Share of the training done before this step.
        training: Seed, largest norm of the gradient, sizes of images and of parts of a batch.
        rate: Factor on the schedule.
        average_decay: Decay of the average of weights.
    """
    if parts.frozen is not None:
        parts.frozen.follow(progress)
    batch = resized(batch, parts.data.fields, training, progress)
    losses: dict[str, float] = {}
    outcome = Outcome({"": math.nan}, math.nan, math.nan)
    for phase in parts.task.phases:
        for group in parts.optimisers[phase].param_groups:
            base = group.setdefault("base_lr", group["lr"])
            group["lr"] = base * rate * parts.schedule(progress)
        loss, main = _accumulate(parts, batch, phase, step, training)
        losses[phase] = loss
        first = main if len(losses) == 1 else outcome.main_loss
        norm = _clip(parts.learning(phase), training.clip_norm) if math.isfinite(loss) else math.nan
        outcome = Outcome(losses, first, norm)
        if outcome.is_finite:
            parts.optimisers[phase].step()
        parts.whole.zero_grad(set_to_none=True)
        if not outcome.is_finite:
            return outcome
    if parts.average is not None and average_decay is not None:
        parts.average.update(parts.whole, average_decay)
    return outcome


def _accumulate(
    parts: Parts, batch: Batch, phase: str, step: int, training: TrainingConfig
) -> tuple[float, float]:
    """Add up a phase's gradients over the parts of a batch; the loss, and its main part.

    Each part counts by its valid targets, so that the sum is the gradient of the whole batch.
    """
    first, whole = phase == parts.task.phases[0], parts.task.weight(batch) or 1.0
    stream = ("layers", step) if first else ("layers", step, phase)
    total = main = 0.0
    with layer_randomness(training.seed, *stream), _only(parts, phase):
        for part in batch.chunk(training.micro_batch):
            with parts.execution.autocast():
                losses = parts.task.losses(parts.networks, part, phase)
            share = parts.task.weight(part) / whole
            total += share * float(losses["loss"].detach())
            main += share * float(losses.get("main", losses["loss"]).detach())
            if not math.isfinite(total):
                break
            (losses["loss"] * share).backward()  # type: ignore[no-untyped-call]
    return total, main


@contextmanager
def _only(parts: Parts, phase: str) -> Iterator[None]:
    """Let gradients flow into the networks of one phase alone."""
    with ExitStack() as stack:
        for other in set(parts.task.phases) - {phase}:
            for parameter in parts.learning(other).parameters():
                if parameter.requires_grad:
                    parameter.requires_grad_(False)
                    stack.callback(parameter.requires_grad_, True)
        yield


def _clip(network: nn.Module, largest: float | None) -> float:
    """The norm of the whole gradient, which is shortened to `largest` if it is longer."""
    weights = [p for p in network.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
    if largest is not None:
        nn.utils.clip_grads_with_norm_(weights, largest, norm)
    return float(norm)
