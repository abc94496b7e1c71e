"""Forward and backward variances, layer by layer: what an initialisation does to a network."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.drawing.table import text_table
from striate.optim.preserve import preserved
from striate.randomness import generator, kept_generators


@dataclass(frozen=True)
class VarianceRow:
    """One call of one layer."""

    name: str
    """Dotted name in the network."""
    kind: str
    """The layer's class."""
    shape: tuple[int, ...]
    """Shape of the output."""
    weight_deviation: float | None
    """Standard deviation of the layer's weights; None where it has none."""
    forward: float
    """Variance of the outputs."""
    backward: float | None
    """Variance of ∂L/∂output; None where no gradient arrives."""


def variance_table(
    network: nn.Module, batch: Float[Tensor, "B *rest"], *, seed: int = 0
) -> list[VarianceRow]:
    """Variances of outputs and of gradients for each layer, in the order of the forward pass.

    L is ⟨scores, noise⟩ with noise of variance 1, so that ∂L/∂scores has variance 1 and the
    variances are the network's doing, not a loss's. A layer that is used twice has two rows.
    Weights, buffers, gradients and mode of the network are as they were afterwards.

    Args:
        network: Network, measured in training mode.
        batch: Inputs as the network will see them, normalised.
        seed: Random seed of the noise and of dropout.

    Source: Glorot and Bengio, 2010, section 4.2 (the two variances that should stay level).

    Example:
        >>> source = torch.Generator().manual_seed(0)
        >>> network = nn.Sequential(nn.Linear(90, 80, bias=False), nn.ReLU())
        >>> _ = network[0].weight.data.normal_(0, 0.2, generator=source)
        >>> rows = variance_table(network, torch.randn(500, 90, generator=source))
        >>> [(row.kind, round(row.forward, 0)) for row in rows]
        [('Linear', 4.0), ('ReLU', 1.0)]
    """
    rows: list[VarianceRow] = []

    def note(name: str, layer: nn.Module, _: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        position, kind = len(rows), type(layer).__name__
        shape = tuple(output.shape)
        rows.append(VarianceRow(name, kind, shape, _spread(layer), _variance(output), None))
        if output.requires_grad:

            def measure(gradient: Tensor) -> None:
                rows[position] = replace(rows[position], backward=_variance(gradient))

            output.register_hook(measure)  # type: ignore[no-untyped-call]

    with ExitStack() as stack, preserved(network):
        for name, layer in network.named_modules():
            if not list(layer.children()):
                # The name is bound now: the loop's variable moves on.
                hook = functools.partial(note, name)
                stack.enter_context(layer.register_forward_hook(hook))
        network.train()
        _backward_of_noise(network, batch, seed)
    return rows


def compare_text(tables: Mapping[str, Sequence[VarianceRow]]) -> str:
    """Forward and backward variance of each layer with weights, a column per initialisation.

    Args:
        tables: Rows of the same network and batch, by the initialisation's name.
    """
    lines = []
    for what in ("forward", "backward"):
        cells = [(f"{what} variance", *tables)]
        for rows in zip(*tables.values(), strict=True):
            if rows[0].weight_deviation is not None:
                values = [getattr(row, what) for row in rows]
                spelt = ["" if value is None else f"{value:.3g}" for value in values]
                cells.append((rows[0].name or "(network)", *spelt))
        lines.append(text_table(cells))
    return "\n\n".join(lines)


def _backward_of_noise(network: nn.Module, batch: Tensor, seed: int) -> None:
    with kept_generators(), torch.enable_grad():
        torch.manual_seed(seed)
        scores = network(batch)
        scores = scores[0] if isinstance(scores, tuple) else scores
        noise = torch.randn(scores.shape, generator=generator(seed, "variance")).to(scores)
        parameters = [p for p in network.parameters() if p.requires_grad]
        # The hooks run on the way to the parameters; .grad is never written.
        torch.autograd.grad((scores * noise).sum(), parameters, allow_unused=True)


def _variance(tensor: Tensor) -> float:
    return float(tensor.detach().double().var())


def _spread(layer: nn.Module) -> float | None:
    weight = getattr(layer, "weight", None)
    return float(weight.detach().std()) if isinstance(weight, Tensor) and weight.ndim > 1 else None
