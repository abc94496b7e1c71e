"""Does a map show what the network has learned, or only what the image looks like?

The weights are put in random order, layer after layer from the output down. A map that rests on
them changes; one that hardly does would be drawn by an edge detector, too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.evaluation.mean import mean_interval
from striate.randomness import generator
from striate.seeing.twin import twin

__all__ = ["Randomised", "Verdict", "cascade", "check", "rank_correlation", "verdict"]

Explain = Callable[[nn.Module], Float[Tensor, "B *any"]]

ALIKE = 0.5
"""Rank correlation above which a map of a network with random weights counts as the same map."""


@dataclass(frozen=True)
class Randomised:
    """Maps of a network whose weights are random from the output down to a layer."""

    layer: str
    """The last layer that became random; all nearer to the output are, too."""
    correlations: Float[Tensor, "B"]
    """Rank correlation of each image's map with that of the network itself; NaN where one of them
    is the same everywhere."""


@dataclass(frozen=True)
class Verdict:
    """Whether a kind of map depends on what was learned."""

    mean: float
    """Mean rank correlation once all layers but the first are random."""
    low: float
    high: float
    """95 % interval over the images."""

    @property
    def passes(self) -> bool:
        """Whether the maps have changed, as far as these images tell."""
        return self.high < ALIKE

    def sentence(self) -> str:
        """The verdict in words, with its figure."""
        figure = f"rank correlation {self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"
        if self.passes:
            return (
                f"With random weights the map is another one ({figure}): it shows what was learned."
            )
        if self.low > ALIKE:
            return (
                f"With random weights the map stays nearly the same ({figure}): it fails, for it "
                "shows the image rather than what was learned."
            )
        return f"With random weights the map changes by half ({figure}): it shows both."


def cascade(network: nn.Module, explain: Explain, *, seed: int = 0) -> list[Randomised]:
    """The maps of a network while its weights become random, from the output down.

    Each tensor of a layer, those of batch normalisation and its averages included, keeps its
    numbers in a random order: so their scale stays, and outputs stay finite.

    Args:
        network: Any module; left as it is.
        explain: The maps (B, ...) of a network, whatever their sign means; their absolute values
            are compared.
        seed: Seed of the orders.

    Source: Adebayo et al., Sanity Checks for Saliency Maps (2018), section 3.1 (cascading
    randomisation).
    """
    network = twin(network)
    own = explain(network).abs().flatten(1)
    steps = []
    for name in _randomised(network, seed):
        correlations = rank_correlation(own, explain(network).abs().flatten(1))
        steps.append(Randomised(name, correlations))
    return steps


def check(network: nn.Module, explain: Explain, *, seed: int = 0) -> Verdict:
    """The verdict on maps once all layers but the first are random, without the steps before."""
    network = twin(network)
    own = explain(network).abs().flatten(1)
    num_layers = len(_layers(network))
    for number, name in enumerate(_randomised(network, seed)):
        if number == max(0, num_layers - 2):
            correlations = rank_correlation(own, explain(network).abs().flatten(1))
            return verdict([Randomised(name, correlations)])
    raise ConfigError("The network has no weights, so that no map can rest on them.")


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in network.named_modules() if _own(module)]


def _randomised(network: nn.Module, seed: int) -> Iterator[str]:
    """Put the weights of a twin in random order, layer after layer; the name of each comes."""
    done: dict[int, Tensor] = {}
    kept: list[Tensor] = []  # an identity is only good while its tensor lives
    for name, module in reversed(_layers(network)):
        for key, tensor in _own(module):
            kept.append(tensor)
            if id(tensor) not in done:
                draw = generator(seed, "sanity", name, key)
                order = torch.randperm(tensor.numel(), generator=draw).to(tensor.device)
                mixed = tensor.flatten()[order].view_as(tensor)
                is_parameter = isinstance(tensor, nn.Parameter)
                done[id(tensor)] = nn.Parameter(mixed, False) if is_parameter else mixed
            holder: Any = module._parameters if key in module._parameters else module._buffers
            holder[key] = done[id(tensor)]
        yield name


def _own(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Tensors with numbers that a module holds itself."""
    held = [*module._parameters.items(), *module._buffers.items()]
    return [(k, t) for k, t in held if t is not None and t.is_floating_point() and t.numel() > 1]


def verdict(steps: list[Randomised]) -> Verdict:
    """The verdict on maps once all layers but the first are random; empty maps are left out."""
    known = steps[max(0, len(steps) - 2)].correlations
    known = known[~known.isnan()].double()
    if not len(known):
        return Verdict(float("nan"), float("nan"), float("nan"))
    found = mean_interval(known.numpy(), least=-1.0, most=1.0)
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return Verdict(found.value, low, high)


def rank_correlation(one: Float[Tensor, "B N"], other: Float[Tensor, "B N"]) -> Float[Tensor, "B"]:
    """Spearman's rank correlation of each pair of rows; NaN where a row is constant.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[2.0, 5.0, 6.0]]))
        tensor([1.])
    """
    a, b = (_centred_ranks(rows) for rows in (one, other))
    correlations: Tensor = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
    return correlations


def _centred_ranks(rows: Tensor) -> Tensor:
    """Ranks of the numbers of each row about their mean; equal numbers share the mean rank."""
    ranks = []
    for row in rows:
        _, index, counts = row.unique(return_inverse=True, return_counts=True)
        last = counts.cumsum(0)
        shared = (last - (counts - 1) / 2).to(row.dtype)
        ranks.append(shared[index])
    stacked = torch.stack(ranks)
    return stacked - stacked.mean(1, keepdim=True)
