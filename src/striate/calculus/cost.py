"""The cost of forward and backward passes, layer by layer: predicted by formula, and measured.

Let F be the multiply-adds of a layer's forward pass. Backward it makes two products of the
same size: ∂L/∂x out of p and W (F again) and ∂L/∂W out of p and x (F again), so backward costs
twice forward. The first layer needs no ∂L/∂x and costs F; so does a frozen layer, which needs no
∂L/∂W; what lies before the first layer that learns costs nothing at all.
"""

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.layers.geometry import ledger


@dataclass(frozen=True)
class Timing:
    """Seconds of one batch."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""


@dataclass(frozen=True)
class LayerCost:
    """One call of one layer."""

    name: str
    kind: str
    multiply_adds: int
    """Forward, of the whole batch, predicted."""
    backward_multiply_adds: int
    """Backward, predicted: F for ∂L/∂x where it is needed, and F for ∂L/∂W where it is."""
    forward: Timing
    backward: Timing | None
    """None where nothing flows back."""

    @property
    def measured_ratio(self) -> float | None:
        """Backward / forward median time."""
        return None if self.backward is None else self.backward.median / self.forward.median


@dataclass
class _Call:
    name: str
    layer: nn.Module
    inputs: Tensor
    needs_input_gradient: bool


def layer_costs(
    network: nn.Module,
    inputs: Tensor,
    *,
    repeats: int = 15,
    clock: Callable[[], float] | None = None,
) -> tuple[LayerCost, ...]:
    """The cost of each call of each layer, in the order of the calls, in training mode.

    A copy of the network runs once to see which input each layer gets; then the layers are timed
    in turns, one round of all layers after another, so that a disturbance of the machine meets
    all of them equally. The first round warms up and is not counted. Layers are modules without
    modules inside that take one tensor and give one; functional calls between them have no row.

    Args:
        network: Any module; left as it is.
        inputs: a batch, (B, C, *S).
        repeats: Number of rounds that count.
        clock: Function that returns seconds; by default the machine's, once the device is done.

    Raises:
        ConfigError: repeats below 1, or a network without layers to measure.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
        >>> rows = layer_costs(network, torch.randn(2, 3, 9, 8), repeats=1)
        >>> [(row.multiply_adds, row.backward_multiply_adds) for row in rows]
        [(9072, 9072), (0, 0), (7200, 14400)]
    """
    if repeats < 1:
        raise ConfigError(f"repeats={repeats} must be 1 or more.")
    calls = _calls(copy.deepcopy(network).train(), inputs)
    if not calls:
        raise ConfigError("The network has no layer that takes one tensor and gives one.")
    read = clock or partial(seconds_now, inputs.device)
    forward: list[list[float]] = [[] for _ in calls]
    backward: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for number, call in enumerate(calls):
            ahead, back = _time(call, read)
            if turn:
                forward[number].append(ahead)
                if back is not None:
                    backward[number].append(back)
    return tuple(
        _row(call, _timing(ahead), _timing(back) if back else None)
        for call, ahead, back in zip(calls, forward, backward, strict=True)
    )


def _calls(network: nn.Module, inputs: Tensor) -> list[_Call]:
    names = {id(module): name for name, module in network.named_modules()}
    calls: list[_Call] = []

    def before(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            x = inputs[0]
            # A copy: a layer that works in place would change what is timed later.
            calls.append(_Call(names[id(module)], module, x.detach().clone(), x.requires_grad))

    with ExitStack() as stack, torch.enable_grad():
        for module in network.modules():
            if not list(module.children()):
                stack.enter_context(module.register_forward_pre_hook(before))
        network(inputs.detach().clone())
    return calls


def _time(call: _Call, read: Callable[[], float]) -> tuple[float, float | None]:
    """Seconds forward and backward of one call."""
    x = call.inputs.requires_grad_(call.needs_input_gradient)
    own = x.clone()
    with torch.enable_grad():
        start = read()
        result = call.layer(own)
        ahead = read() - start
    sources: list[Tensor] = [p for p in call.layer.parameters() if p.requires_grad]
    sources += [x] if call.needs_input_gradient else []
    if not sources or not isinstance(result, Tensor) or not result.requires_grad:
        return ahead, None
    p = torch.ones_like(result)
    start = read()
    torch.autograd.grad(result, sources, p, allow_unused=True)
    return ahead, read() - start


def _row(call: _Call, forward: Timing, backward: Timing | None) -> LayerCost:
    shape = tuple(call.inputs.shape)
    count = shape[0] * sum(row.multiply_adds for row in ledger(call.layer, shape[1:]))
    weights = [p for p in call.layer.parameters() if p.requires_grad and p.ndim > 1]
    factor = int(call.needs_input_gradient) + int(bool(weights))
    return LayerCost(call.name, type(call.layer).__name__, count, factor * count, forward, backward)


def _timing(seconds: list[float]) -> Timing:
    if len(seconds) == 1:
        return Timing(seconds[0], seconds[0], seconds[0])
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, low, high)


def seconds_now(device: torch.device) -> float:
    """The time once the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
