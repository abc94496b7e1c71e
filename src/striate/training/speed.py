"""How fast this machine trains a network, before there is one to train."""

from striate.config import ExecutionConfig
from striate.execution import choose, keep_pages
from striate.execution.step import step_call
from striate.execution.timing import race
from striate.optim import OPTIMISERS, parameter_groups
from striate.registry import Pick
from striate.training.fitting import build_network

_STEPS = 3


def training_speed(
    num_outputs: int,
    channels: int,
    execution: ExecutionConfig,
    network: Pick,
    optimiser: Pick,
    batch_size: int,
    size: tuple[int, int],
) -> float:
    """Training images a second of a network on random images.

    Args:
        num_outputs: Number of outputs of the network.
        channels: Channels C of an image.
        execution: Configuration of the execution; what is None is guessed.
        network: Name and arguments of the network.
        optimiser: Name and arguments of the optimiser.
        batch_size: Number of images B.
        size: Height and width, pixels.
    """
    keep_pages()  # as the training will
    built = build_network(network, num_outputs, channels, size)
    shape = (batch_size, channels, *size)
    guessed = choose(built, shape, execution, seconds=0).execution
    step = step_call(
        built, guessed, shape, lambda own: OPTIMISERS.build(optimiser, parameter_groups(own))
    )
    times = race({"step": step}, 0.0, least_turns=_STEPS, most_turns=_STEPS)
    return batch_size / times["step"].median
