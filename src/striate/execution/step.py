"""One training step on a copy of a network: to be timed, and to compare answers."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.execution.device import Execution
from striate.execution.swap import accelerate, restore

__all__ = ["agrees", "step_call"]

_AGREEMENT = 1e-2
"""Largest distance of outputs and gradients relative to their lengths. Rounding in another order
gives 1e-6 to 1e-3 through deep networks; a wrong rewriting gives about 1."""
_FEW = 4


def step_call(
    network: nn.Module,
    execution: Execution,
    shape: tuple[int, ...],
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
) -> Callable[[], object]:
    """A function that does the forward and backward pass of one step on noise.

    The network itself is copied, placed and accelerated; it is not changed.

    Args:
        network: on any device.
        execution: how it runs.
        shape: (B, C, *S) of a batch.
        optimiser: makes the optimiser of the copy, whose step is then part of the step.
    """
    own = accelerate(_placed(network, execution), execution).train()
    descent = None if optimiser is None else optimiser(own)
    images = _noise(execution, shape)

    def step() -> object:
        with execution.arithmetic(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with execution.autocast(), torch.enable_grad():
                loss = _loss(own(images))
            loss.backward()  # type: ignore[no-untyped-call]
            if descent is not None:
                descent.step()
            for parameter in own.parameters():
                parameter.grad = None
            return float(loss.detach())  # waits for the device

    return step


def agrees(network: nn.Module, execution: Execution, shape: tuple[int, ...]) -> bool:
    """Whether a network answers alike with and without Striate's layers, up to rounding.

    Outputs, with gradients and without, and gradients are compared in evaluation mode, where
    nothing is left to chance, on a few images; a network that cannot run there does not agree.
    """
    images = _noise(execution, (min(_FEW, shape[0]), *shape[1:]))
    try:
        plain = _answers(restore(_placed(network, execution)), images)
        other = _answers(accelerate(_placed(network, execution), execution), images)
    except (RuntimeError, ValueError, TypeError):
        return False
    return len(plain) == len(other) and all(map(_alike, plain, other))


def _answers(network: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.enable_grad():
        y = network.eval()(images)
        _loss(y).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    with torch.no_grad():
        answer = network(images)
    return [tensor.detach() for tensor in [*_outputs(y), *_outputs(answer), *gradients]]


def _alike(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    distance = float((a - b).double().norm())
    return distance <= _AGREEMENT * float(a.double().norm()) + 1e-6


def _placed(network: nn.Module, execution: Execution) -> nn.Module:
    own = restore(copy.deepcopy(network))
    for parameter in own.parameters():
        parameter.grad = None
    return execution.place(own)


def _noise(execution: Execution, shape: tuple[int, ...]) -> Tensor:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(execution.device)
    if execution.channels_last and images.ndim == 4:
        images = images.contiguous(memory_format=torch.channels_last)
    return images


def _outputs(y: Any) -> list[Tensor]:
    return [y] if isinstance(y, Tensor) else list(y)


def _loss(y: object) -> Tensor:
    """A smooth number of all outputs: what it says is no matter, only that all take part."""
    return torch.stack([output.float().square().mean() for output in _outputs(y)]).sum()
