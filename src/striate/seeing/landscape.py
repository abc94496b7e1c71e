"""The loss of a network around its weights, on a plane through the space of all weights.

The plane is spanned by two random directions, each filter of which is as long as the network's own
filter: so the picture does not depend on how large the weights of a layer happen to be, and the
pictures of two networks can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.randomness import generator
from striate.seeing.twin import module_named, twin

__all__ = ["Landscape", "filter_normalised", "landscape"]

Loss = Callable[[nn.Module, Any], Tensor]
"""The loss of a network on a batch: one number, or one for each item."""


@dataclass(frozen=True)
class Landscape:
    """Losses on a plane through the weights w: at w + a · first direction + b · second one."""

    losses: Float64[Tensor, "P P"]
    """In reading order: rows from the largest b to the smallest, columns from the smallest a to the
    largest. The middle one is the loss of the network itself."""
    positions: Float64[Tensor, "P"]
    """a of the columns, from left to right; b of the rows are the same numbers from below."""


def landscape(
    network: nn.Module,
    loss: Loss,
    batches: Sequence[Any],
    *,
    radius: float = 1.0,
    num_points: int = 21,
    seed: int = 0,
) -> Landscape:
    """The mean loss on some batches, on a square of a filter-normalised plane.

    The network is in evaluation mode, with the running statistics that it has. What is computed in
    the middle is exactly what `loss` gives for the network: its weights are used as they are.

    In a network of rectifiers, multiplying a whole layer by a number and dividing the next one by
    it leaves the picture as it is; so does multiplying one filter before a normalisation. One
    filter without a normalisation shares the filters of the next layer with others, and the picture
    may change.

    Args:
        network: Any module; left as it is. Three times its weights are held at once.
        loss: Function of a network and a batch: one number, or the losses of the items; called
            without gradients for each point and batch.
        batches: Batches in any form that `loss` takes. The mean is over all numbers that it
            gives, so that batches of unequal size count by their items where it gives one for
            each item.
        radius: Half the side of the square; at 1 a direction changes a filter by its own length.
        num_points: Number of points of a side, odd, so that one is the middle.
        seed: Random seed of the directions.

    Raises:
        ConfigError: an even number of points, no radius, or no batch.

    Source: Li, Xu, Taylor, Studer and Goldstein, Visualizing the Loss Landscape of Neural Nets
    (2018), equation 1 and section 4.

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> _ = network.weight.data.fill_(3.0)
        >>> seen = landscape(network, lambda n, x: n(x).sum(), [torch.ones(1, 1)], num_points=3)
        >>> seen.losses[1, 1].item()
        3.0
    """
    if num_points < 3 or num_points % 2 == 0:
        raise ConfigError(f"num_points={num_points} must be odd, and 3 or more.")
    if not 0 < radius < float("inf"):
        raise ConfigError(f"radius={radius} must be above 0.")
    if not batches:
        raise ConfigError("There is no batch, and no loss without one.")
    copied = twin(network)
    first, second = (filter_normalised(copied, seed, name) for name in ("first", "second"))
    measured = _Measured(copied, loss)
    weights = {name: value for name, value in copied.named_parameters() if name in first}
    middle = num_points // 2
    # Whole numbers before the division: the middle is 0, and not nearly 0.
    positions = radius * torch.arange(-middle, middle + 1, dtype=torch.float64) / middle
    losses = torch.empty(num_points, num_points, dtype=torch.float64)
    with torch.no_grad():
        for row, b in enumerate(reversed(positions.tolist())):
            for column, a in enumerate(positions.tolist()):
                is_middle = a == b == 0  # where the weights are used as they are
                moved = {
                    f"network.{name}": value + a * first[name] + b * second[name]
                    for name, value in weights.items()
                    if not is_middle
                }
                losses[row, column] = _mean(measured, moved, batches)
    return Landscape(losses, positions)


def filter_normalised(network: nn.Module, seed: int, name: str) -> dict[str, Tensor]:
    """A random direction in the space of the weights, by name of the parameter.

    Its numbers are normally distributed, then each filter is scaled to the length of the network's
    filter. A filter is what makes one output: a row of a linear layer, all weights of an output
    channel of a convolution. Biases and the parameters of normalisations have no direction and are
    left out.

    Args:
        network: Any module; left as it is.
        seed: Random seed.
        name: Name of the direction; each has numbers of its own.

    Source: Li et al. (2018), section 4; that biases and normalisations do not move is the rule of
    their published pictures.
    """
    directions = {}
    for parameter, value in network.named_parameters():
        if not _moves(network, parameter, value):
            continue
        # On the CPU, where the numbers are the same on every machine.
        drawn = torch.randn(value.shape, generator=generator(seed, "landscape", name, parameter))
        direction = drawn.to(value)
        owner = module_named(network, parameter.rpartition(".")[0])
        own, random = _lengths(owner, value.detach()), _lengths(owner, direction)
        directions[parameter] = direction * (own / random.clamp(min=1e-30))
    return directions


_NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def _moves(network: nn.Module, parameter: str, value: Tensor) -> bool:
    """Whether a parameter is a weight, not a bias or part of a normalisation."""
    owner, _, own_name = parameter.rpartition(".")
    if value.ndim < 2 or own_name == "bias" or not value.is_floating_point():
        return False
    return not isinstance(module_named(network, owner), _NORMALISATIONS)


def _lengths(owner: nn.Module, weight: Tensor) -> Tensor:
    """The length of the filter that each number belongs to, in a shape that broadcasts."""
    if not isinstance(owner, nn.modules.conv._ConvTransposeNd):
        return _norm(weight, tuple(range(1, weight.ndim)))
    # Weights of a transposed convolution are (in, out / groups, *K), the groups one after another.
    groups = weight.reshape(owner.groups, -1, *weight.shape[1:])
    lengths = _norm(groups, (1, *range(3, groups.ndim)))
    return lengths.expand(-1, groups.shape[1], *[-1] * (groups.ndim - 2)).flatten(0, 1)


def _norm(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=True)
    return norm


class _Measured(nn.Module):
    """Lets a loss see a network whose weights are exchanged, whatever it does with it."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.network, batch)


def _mean(measured: _Measured, moved: dict[str, Tensor], batches: Sequence[Any]) -> Tensor:
    numbers = [torch.func.functional_call(measured, moved, (batch,)) for batch in batches]
    return torch.cat([number.double().flatten().cpu() for number in numbers]).mean()
