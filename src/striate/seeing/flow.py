"""How signals pass through a network, forward and backward: sizes of outputs and gradients.

One batch gives a row for each layer; rows of several moments of a training give a judgement of
each layer.
"""

import copy
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.randomness import layer_randomness
from striate.seeing.twin import twin

__all__ = ["FlowRow", "Judgement", "flow", "judge"]

FAR = 1e3
"""Times larger or smaller than at the last layer, from which on gradients explode or vanish."""
NEARLY_ALL = 0.99
"""Share of zero outputs from which on a layer is dead; a rectifier usually has half of them."""

Verdict = Literal["exploding", "vanishing", "dead", "sound"]


@dataclass(frozen=True)
class FlowRow:
    """The signals that pass through one layer, for one batch."""

    layer: str
    """Name of the module."""
    activation: float
    """Mean square of its outputs."""
    output_gradient: float
    """Euclidean norm of the gradient of the loss by its outputs, over the whole batch."""
    weight_gradient: float | None
    """Euclidean norm of the gradient by its own parameters together; None: it has none."""
    zeros: float
    """Share of its outputs that are exactly 0."""


def flow(
    network: nn.Module, batch: Any, loss: Callable[[nn.Module, Any], Tensor], *, seed: int = 0
) -> list[FlowRow]:
    """One row for each layer that runs, in the order in which they first run.

    Layers are the modules without modules of their own that give a tensor, or a tuple whose first
    value is one and counts. What a layer does in several calls counts together. All parameters get
    a gradient, frozen ones too.

    Args:
        network: Any module, in the mode in which it is to be seen; left as it is. A copy of its
            tensors is used, so that a training mode changes no running statistics.
        batch: Batch in any form that `loss` takes.
        loss: Function of a network and a batch to one number.
        seed: Random seed of layers that draw, such as dropout.

    Raises:
        ConfigError: a loss that is not one number, or that depends on no parameter.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> [row.layer for row in flow(network, torch.ones(4, 2), lambda n, x: n(x).mean())]
        ['0', '1', '2']
    """
    copied, calls = _copy(network), dict[str, list[Tensor]]()

    def keep(name: str, output: Any) -> Any:
        is_tuple = type(output) is tuple and bool(output)
        kept = output[0] if is_tuple else output
        if not isinstance(kept, Tensor) or not kept.is_floating_point():
            return None
        if not kept.requires_grad:
            kept = kept.detach().requires_grad_()
        calls.setdefault(name, []).append(kept)
        # A layer that follows may work in place, which must not change what was kept.
        return (kept.clone(), *output[1:]) if is_tuple else kept.clone()

    layers = {name: part for name, part in copied.named_modules() if _is_layer(name, part)}
    for name, part in layers.items():
        part.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
    with torch.enable_grad(), layer_randomness(seed, "flow"):
        number = loss(copied, batch)
        if number.numel() != 1 or not number.requires_grad:
            raise ConfigError(
                f"The loss is {tuple(number.shape)}"
                f"{'' if number.requires_grad else ' without a gradient'}; one number that depends "
                "on the network's parameters is needed."
            )
        outputs = [kept for of_layer in calls.values() for kept in of_layer]
        parameters = [p for p in copied.parameters() if p.requires_grad]
        both = [*outputs, *parameters]
        slopes = torch.autograd.grad(number.sum(), both, allow_unused=True)
    by = {id(tensor): slope for tensor, slope in zip(both, slopes, strict=True)}
    rows = []
    for name, kept in calls.items():
        own = [p for p in layers[name].parameters() if p.requires_grad]
        count = sum(output.numel() for output in kept)
        squares = sum(float(output.detach().double().square().sum()) for output in kept)
        zeros = sum(int((output == 0).sum()) for output in kept)
        rows.append(
            FlowRow(
                name,
                squares / max(1, count),
                _norm([by[id(output)] for output in kept]),
                _norm([by[id(p)] for p in own]) if own else None,
                zeros / max(1, count),
            )
        )
    return rows


@dataclass(frozen=True)
class Judgement:
    """A verdict on a layer from the rows of several moments."""

    layer: str
    verdict: Verdict
    ratio: float
    """Gradient by the layer's outputs over that by the last layer's: median of the moments; NaN
    where the last layer had none."""
    zeros: float
    """Share of zero outputs: median of the moments."""


def judge(moments: Sequence[Sequence[FlowRow]]) -> list[Judgement]:
    """Judge each layer by the rows of several moments of a training.

    The gradient begins at the last layer that has one. By how much it changes on the way back from
    there says how well a network can learn; its own size only says how much the loss still has to
    fall. A layer is

    - exploding, where the ratio of the two norms is above 1,000, or a number is not finite;
    - dead, where 99 % of its outputs or more are exactly 0;
    - vanishing, where the ratio is below 1/1,000;
    - sound otherwise.

    Ratios and shares are medians of the moments; a number that is not finite counts at any moment.

    Args:
        moments: Rows of `flow`, a list for each moment.

    Raises:
        ConfigError: no moment.

    Source: the thresholds are ours. Vanishing and exploding: Hochreiter (1991); Bengio, Simard and
    Frasconi, Learning Long-Term Dependencies with Gradient Descent is Difficult (1994), section IV.

    Example:
        >>> rows = [FlowRow("0", 1.0, 1e-6, 1e-6, 0.0), FlowRow("1", 1.0, 0.5, 0.5, 0.0)]
        >>> [(of.layer, of.verdict) for of in judge([rows])]
        [('0', 'vanishing'), ('1', 'sound')]
    """
    if not moments:
        raise ConfigError("There is no moment to judge.")
    rows: dict[str, list[FlowRow]] = {}
    ratios: dict[str, list[float]] = {}
    for moment in moments:
        last = next((row.output_gradient for row in reversed(moment) if row.output_gradient), 0.0)
        for row in moment:
            rows.setdefault(row.layer, []).append(row)
            if 0 < last < math.inf:
                ratios.setdefault(row.layer, []).append(row.output_gradient / last)
    return [
        _judged(layer, of_layer, ratios.get(layer, [math.nan])) for layer, of_layer in rows.items()
    ]


def _judged(layer: str, rows: Sequence[FlowRow], ratios: Sequence[float]) -> Judgement:
    ratio = statistics.median(ratios)
    zeros = statistics.median(row.zeros for row in rows)
    numbers = [
        number
        for row in rows
        for number in (row.activation, row.output_gradient, row.weight_gradient or 0.0)
    ]
    verdict: Verdict = "sound"
    if not all(map(math.isfinite, numbers)) or ratio > FAR:
        verdict = "exploding"
    elif zeros >= NEARLY_ALL:
        verdict = "dead"
    elif ratio < 1 / FAR:
        verdict = "vanishing"
    return Judgement(layer, verdict, ratio, zeros)


def _copy(network: nn.Module) -> nn.Module:
    """A network of its own modules and tensors, in the network's modes, ready for gradients."""
    copied = copy.deepcopy(twin(network))
    network = getattr(network, "_orig_mod", network)
    for own, part in zip(copied.modules(), network.modules(), strict=True):
        own.training = part.training
    for parameter in copied.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return copied


def _is_layer(name: str, module: nn.Module) -> bool:
    """Whether a module has no modules in it but those that make its own weights."""
    makes_weights = "parametrizations" in name.split(".")
    return not makes_weights and all(
        child == "parametrizations" for child, _ in module.named_children()
    )


def _norm(slopes: Sequence[Tensor | None]) -> float:
    """The Euclidean norm of all of them together; what the loss does not depend on counts 0."""
    return math.sqrt(sum(float(s.double().square().sum()) for s in slopes if s is not None))
