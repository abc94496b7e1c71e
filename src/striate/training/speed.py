"""How fast this machine trains a network, before there is one to train."""

import statistics
import time

import torch
from torch import nn

from striate.config import ExecutionConfig
from striate.execution import accelerated, choose, keep_pages
from striate.networks import NETWORKS
from striate.optim import OPTIMISERS, parameter_groups
from striate.registry import Pick

__all__ = ["training_speed"]

_STEPS = 3


def training_speed(
    num_classes: int,
    channels: int,
    size: tuple[int, int],
    batch_size: int,
    network: Pick,
    optimiser: Pick,
    execution: ExecutionConfig | None = None,
) -> float:
    """Training images a second of a network on random images.

    Args:
        num_classes: K.
        channels: C.
        size: H and W, pixels.
        batch_size: B.
        network: name and arguments.
        optimiser: the same.
        execution: device and precision; None: those of a training that asks for nothing.
    """
    keep_pages()  # as the training will
    built = NETWORKS.build(network, num_classes=num_classes, in_channels=channels, input_size=size)
    shape = (batch_size, channels, *size)
    place = choose(built, shape, execution or ExecutionConfig(), seconds=0).execution
    trained = place.place(built).train()
    layout = torch.channels_last if place.channels_last else torch.contiguous_format
    images = torch.randn(batch_size, channels, *size, device=place.device)
    images = images.contiguous(memory_format=layout)
    target = torch.randint(num_classes, (batch_size,), device=place.device)
    descent = OPTIMISERS.build(optimiser, parameter_groups(trained))
    seconds = []
    with place.arithmetic(), accelerated(trained, place):
        for _ in range(_STEPS + 1):
            begin = time.perf_counter()
            with place.autocast():
                loss = nn.functional.cross_entropy(trained(images), target)
            loss.backward()  # type: ignore[no-untyped-call]
            descent.step()
            descent.zero_grad(set_to_none=True)
            float(loss.detach())  # waits for the device
            seconds.append(time.perf_counter() - begin)
    return batch_size / statistics.median(seconds[1:])  # the first one pays for setting up
