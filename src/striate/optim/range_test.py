"""The learning-rate range test: one short training with a rising rate, and the rate to take."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from striate.drawing.figure import new_figure, tidy, write_png
from striate.errors import ConfigError, DataError
from striate.optim.descent import sgd
from striate.optim.group import parameter_groups


@dataclass(frozen=True)
class RangeTest:
    """The loss under a rising learning rate."""

    rates: tuple[float, ...]
    """The rate of each step, in equal ratios."""
    losses: tuple[float, ...]
    """The loss of each step's batch, before the step."""
    smoothed: tuple[float, ...]
    """Mean of the losses around each step, weighted by a bell curve."""
    suggested: float
    """Rate at which the smoothed loss falls most steeply per decade, but at least three times below
    `highest`: the rate to train with."""
    highest: float
    """Rate at which the smoothed loss is lowest: beyond it training diverges."""


def range_test(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[tuple[Any, Any]],
    *,
    optimiser: Callable[..., Optimizer] = sgd,
    lowest: float = 1e-5,
    highest: float = 10.0,
    num_steps: int = 100,
    smoothing: float = 3.0,
) -> RangeTest:
    """Losses of a short training whose rate rises from `lowest` to `highest`.

    It ends early where the loss is no finite number, or the mean of five is four times the
    lowest such mean. The network's weights, buffers, gradients and mode are exactly as they
    were afterwards.

    Args:
        network: Network; trained for a while, then put back.
        loss: Function of (scores, targets).
        batches: Pairs (inputs, targets) as network and loss take them; begun anew when they run
            out, so give a list, not a generator, unless it is long enough.
        optimiser: Constructor that takes (parameter groups, lr=…).
        lowest: First rate.
        highest: Last rate.
        num_steps: Number of steps between the two.
        smoothing: Standard deviation of the bell curve, in steps; 0 for none. A running mean
            would lag behind, and the suggested rate with it, by as many steps as it is long.

    Raises:
        ConfigError: rates or counts out of range.
        DataError: there is no batch.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3.

    Example:
        >>> import torch
        >>> network = nn.Linear(2, 1)
        >>> _ = network.weight.data.zero_()
        >>> _ = network.bias.data.zero_()
        >>> x = torch.tensor([[1.0, 2.0], [2.0, -1.0]])
        >>> test = range_test(network, nn.functional.mse_loss, [(x, x[:, :1])])
        >>> 1e-5 < test.suggested < test.highest
        True
    """
    if not 0 < lowest < highest < math.inf or num_steps < 10 or not 0 <= smoothing < math.inf:
        raise ConfigError(
            f"A range test needs 0 < lowest < highest (came {lowest}, {highest}), 10 steps or "
            f"more (came {num_steps}) and smoothing of 0 or more (came {smoothing})."
        )
    rates = [lowest * (highest / lowest) ** (i / (num_steps - 1)) for i in range(num_steps)]
    state = copy.deepcopy(network.state_dict())
    gradients = [(parameter, parameter.grad) for parameter in network.parameters()]
    was_training = network.training
    losses: list[float] = []
    try:
        network.train()
        stepper = optimiser(parameter_groups(network), lr=lowest)
        stream = _again_and_again(batches)
        for rate in rates:
            value = _train_step(network, loss, next(stream), stepper, rate)
            if not math.isfinite(value):
                break
            losses.append(value)
            if _diverged(losses):
                break
    finally:
        network.load_state_dict(state)
        network.train(was_training)
        for parameter, gradient in gradients:
            parameter.grad = gradient
    return _read(rates[: len(losses)], losses, smoothing)


def draw_range_test(test: RangeTest, path: Path) -> None:
    """A PNG of the losses over the rates, with the suggested rate marked."""
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    axes.plot(test.rates, test.losses, color="#9db4c8", linewidth=1, label="each batch")
    axes.plot(test.rates, test.smoothed, color="#1f4e79", linewidth=2, label="smoothed")
    marks = (
        (test.suggested, "#c2410c", "--", "suggested"),
        (test.highest, "#777777", ":", "lowest loss"),
    )
    for rate, colour, style, name in marks:
        axes.axvline(rate, color=colour, linestyle=style, label=f"{name} {rate:.2g}")
    low, high = min(test.smoothed), max(test.smoothed[0], min(test.smoothed))
    margin = 0.6 * (high - low) + 1e-9
    axes.set_ylim(low - margin / 2, high + margin)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title("Learning-rate range test", loc="left")
    tidy(axes)
    axes.legend(frameon=False)
    write_png(figure, path, dpi=150)


def _again_and_again(batches: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise DataError(
                "The batches ran out before the range test ended: give a list of at least one "
                "batch, or a longer generator."
            )


def _train_step(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Any, Any],
    stepper: Optimizer,
    rate: float,
) -> float:
    for group in stepper.param_groups:
        group["lr"] = rate
    inputs, targets = batch
    stepper.zero_grad()
    scores: Any = network(inputs)
    if isinstance(scores, tuple):  # auxiliary heads
        main, *auxiliary = scores
        share = float(getattr(network, "auxiliary_weight", 1.0))
        value = loss(main, targets) + share * sum(loss(head, targets) for head in auxiliary)
    else:
        value = loss(scores, targets)
    value.backward()  # type: ignore[no-untyped-call]
    if bool(value.isfinite()):
        stepper.step()
    return float(value.detach())


def _diverged(losses: list[float]) -> bool:
    means = [sum(losses[i - 5 : i]) / 5 for i in range(5, len(losses) + 1)]
    return bool(means) and means[-1] > 4 * min(means) + 1e-12


def _smooth(losses: list[float], deviation: float) -> list[float]:
    if deviation == 0:
        return list(losses)
    smoothed = []
    for i in range(len(losses)):
        weights = [math.exp(-(((i - j) / deviation) ** 2) / 2) for j in range(len(losses))]
        total = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        smoothed.append(total / sum(weights))
    return smoothed


def _read(rates: list[float], losses: list[float], smoothing: float) -> RangeTest:
    if len(losses) < 3:
        raise ConfigError(
            f"The loss left the finite numbers within {len(losses) + 1} steps at learning rate "
            f"{rates[-1] if rates else 'zero'}: begin lower, and check the data and the loss."
        )
    smoothed = _smooth(losses, smoothing)
    bottom = min(range(len(smoothed)), key=smoothed.__getitem__)
    # Rates are in equal ratios, so a difference of neighbours is a slope per decade.
    slopes = [smoothed[i + 1] - smoothed[i - 1] for i in range(1, len(smoothed) - 1)]
    until = max(1, min(bottom, len(slopes)))
    steepest = 1 + min(range(until), key=slopes.__getitem__)
    suggested = min(rates[steepest], rates[bottom] / 3)
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), suggested, rates[bottom])
