"""Batch, mini-batch and one-sample gradient descent with its stop rule, written out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.optim import Optimizer

from striate.errors import ConfigError
from striate.optim.descent import gradient_descent
from striate.randomness import generator


@dataclass(frozen=True)
class Descent:
    """The course of a descent."""

    losses: tuple[float, ...]
    """Loss over all items: before the first step, and after each epoch."""
    gradient_norm: float
    """‖∇‖ of the loss over all items, at the end."""
    num_steps: int
    num_epochs: int
    stopped: str
    """"gradient" (‖∇‖ < ε) or "steps" (t = t_max)."""


def descend(
    parameters: Sequence[Tensor],
    loss: Callable[[Int[Tensor, "B"]], Tensor],
    num_items: int,
    *,
    batch_size: int | None = None,
    optimiser: Callable[[Sequence[Tensor]], Optimizer] = gradient_descent,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
    seed: int = 0,
) -> Descent:
    """Minimise a mean over items in place, and return the course of the descent.

    The stop rule is that of the textbook: ‖∇‖ < ε, or t = t_max. ∇ is the gradient over all
    items: known before each step of batch descent, measured after each epoch otherwise, since
    the gradient of one batch is never zero for long. The order is drawn anew each epoch.

    Args:
        parameters: Leaf tensors that require a gradient; they hold the minimiser afterwards.
        loss: Function of a batch's indices to the mean loss over those items.
        num_items: Number of items N.
        batch_size: Items per step; None for all (batch descent), 1 for one sample at a time.
        optimiser: Constructor that takes the parameters; by default plain gradient descent.
        tolerance: Bound ε of the stop rule.
        max_steps: Largest number of steps t_max.
        seed: Random seed of the orders.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> items = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
        >>> mean = torch.zeros((), dtype=torch.float64, requires_grad=True)
        >>> went = descend([mean], lambda batch: (items[batch] - mean).square().mean(), 3)
        >>> round(mean.item(), 3), went.stopped
        (3.0, 'gradient')
    """
    size = num_items if batch_size is None else batch_size
    if not 1 <= size <= num_items or max_steps < 0 or not tolerance >= 0:
        raise ConfigError(
            f"batch_size={batch_size} must lie in 1 … {num_items}, max_steps={max_steps} and "
            f"tolerance={tolerance} must be 0 or more."
        )
    stepper = optimiser(list(parameters))
    everything = torch.arange(num_items)

    def whole_gradient() -> tuple[float, float]:
        value = _differentiate(stepper, loss(everything))
        gradients = [p.grad.norm() for p in parameters if p.grad is not None]
        return value, float(torch.stack(gradients).norm()) if gradients else 0.0

    value, norm = whole_gradient()
    losses, num_steps, num_epochs = [value], 0, 0
    while num_steps < max_steps and not norm < tolerance:
        order = torch.randperm(num_items, generator=generator(seed, "descent", num_epochs))
        for batch in torch.split(order, size)[: max_steps - num_steps]:
            if size < num_items:
                _differentiate(stepper, loss(batch))
            stepper.step()
            num_steps += 1
        num_epochs += 1
        value, norm = whole_gradient()
        losses.append(value)
    stopped = "gradient" if norm < tolerance else "steps"
    return Descent(tuple(losses), norm, num_steps, num_epochs, stopped)


def _differentiate(optimiser: Optimizer, value: Tensor) -> float:
    optimiser.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    return float(value.detach())
