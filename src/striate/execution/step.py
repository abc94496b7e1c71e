"""One training step on a copy of a network, to be timed."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.execution.device import Execution
from striate.execution.swap import accelerate, restore
from striate.randomness import kept_generators


def step_call(
    network: nn.Module,
    execution: Execution,
    shape: tuple[int, ...],
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
) -> Callable[[], object]:
    """A function that does the forward and backward pass of one step on noise.

    The network itself is copied, placed and accelerated; it is not changed.

    Args:
        network: Module on any device.
        execution: Device, layout, threads and operators.
        shape: Shape (B, C, *S) of a batch.
        optimiser: Maker of the copy's optimiser, whose step is then timed too.
    """
    own = restore(copy.deepcopy(network))
    for parameter in own.parameters():
        parameter.grad = None
    own = accelerate(execution.place(own), execution).train()
    stepper = None if optimiser is None else optimiser(own)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(execution.device)
    if execution.channels_last and images.ndim == 4:
        images = images.contiguous(memory_format=torch.channels_last)

    def step() -> object:
        with execution.arithmetic(), kept_generators():
            torch.manual_seed(0)
            with execution.autocast(), torch.enable_grad():
                y = own(images)
                outputs: list[Tensor] = [y] if isinstance(y, Tensor) else list(y)
                # Any smooth number of all outputs: what counts is that all take part.
                loss = torch.stack([output.float().square().mean() for output in outputs]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            if stepper is not None:
                stepper.step()
            for parameter in own.parameters():
                parameter.grad = None
            return float(loss.detach())  # waits for the device

    return step
