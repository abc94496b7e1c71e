"""Gradients without calculus: finite differences, and a search weight by weight.

One difference costs one or two evaluations for each element, backpropagation costs about three
for all elements together: this file is the measure of what backpropagation saves, and the
independent number that it is checked against.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError

Scheme = Literal["centred", "forward", "backward"]


@dataclass(frozen=True)
class CoordinateSearch:
    """The result of the rule "wiggle one weight and keep it if the loss falls", and its cost."""

    weights: Tensor
    """The weights after the last sweep."""
    values: tuple[float, ...]
    """The loss at the start and after each sweep."""
    kept: int
    """Number of wiggles that were kept."""
    evaluations: int
    """Number of times the loss was computed."""


def default_step(scheme: Scheme, dtype: torch.dtype) -> float:
    """The relative step that balances truncation against rounding.

    A one-sided difference errs by h·f″/2 + ε·f/h, smallest near h = √ε; a centred one by
    h²·f‴/6 + ε·f/h, smallest near h = ∛ε, where ε is the rounding unit of `dtype`.

    Source: Press et al., Numerical Recipes, 3rd ed. 2007, section 5.7, equations 5.7.5 and 5.7.8.
    """
    rounding = torch.finfo(dtype).eps
    return float(rounding ** (1 / 3) if scheme == "centred" else rounding ** (1 / 2))


def numerical_gradient(
    function: Callable[..., Tensor],
    *inputs: Float[Tensor, "..."],
    scheme: Scheme = "centred",
    step: float | None = None,
) -> tuple[Float[Tensor, "..."], ...]:
    """The gradient of a scalar function by differences, one tensor for each input.

    Costs two evaluations for each element (centred), or one and one more in all (one-sided).

    Args:
        function: Deterministic function of the inputs to a tensor of one element.
        inputs: Point of evaluation, left as it is; float64 is worth its cost here.
        scheme: "centred" (f(x+h) − f(x−h)) / 2h, "forward" (f(x+h) − f(x)) / h or
            "backward" (f(x) − f(x−h)) / h.
        step: Step h itself; by default `default_step` times max(1, |element|).

    Raises:
        ConfigError: an unknown scheme, a step that is not above zero, inputs that are not
            floating point, or a function whose value is not a single number.

    Example:
        >>> x = torch.tensor([3.0, -1.0], dtype=torch.float64)
        >>> (gradient,) = numerical_gradient(lambda x: (x**2).sum(), x)
        >>> [round(g, 6) for g in gradient.tolist()]
        [6.0, -2.0]
    """
    _check(scheme, step, inputs)
    points = [_copy(tensor) for tensor in inputs]

    def value() -> float:
        with torch.no_grad():
            return _number(function(*(point.clone() for point in points)))

    centre = 0.0 if scheme == "centred" else value()
    gradients = []
    for point in points:
        gradient = torch.empty_like(point)
        flat, flat_gradient = point.view(-1), gradient.view(-1)
        for index in range(flat.numel()):
            before = flat[index].item()
            h = step or default_step(scheme, point.dtype) * max(1.0, abs(before))
            # The step as the machine took it, not as it was requested: x + h is rounded.
            above, up = below, down = centre, before
            if scheme != "backward":
                above, up = _moved(flat, index, before + h, value)
            if scheme != "forward":
                below, down = _moved(flat, index, before - h, value)
            flat[index] = before
            flat_gradient[index] = (above - below) / (up - down)
        gradients.append(gradient)
    return tuple(gradients)


def wiggle(
    loss: Callable[[Tensor], Tensor],
    weights: Float[Tensor, "..."],
    *,
    step: float,
    sweeps: int = 1,
    generator: torch.Generator | None = None,
) -> CoordinateSearch:
    """The weights after "wiggle one weight by ε and keep it if the loss falls".

    Each sweep visits every weight once, in random order: it adds ε, and if the loss does not
    fall it subtracts ε instead, and if that does not help either it leaves the weight alone. A
    sweep over n weights computes the loss n to 2n times, where one step of gradient descent
    moves all n weights for the price of about three evaluations.

    Args:
        loss: Function of the weights to a tensor of one element.
        weights: Starting point, left as it is.
        step: Step ε, in the weights' own units.
        sweeps: Number of visits to every weight.
        generator: Source of the order of visits; by default the weights' own order.

    Raises:
        ConfigError: a step that is not above zero or a loss that is not a single number.

    Source: Nielsen, Neural Networks and Deep Learning, 2015, chapter 2, "the big picture".

    Example:
        >>> start = torch.tensor([1.0, -2.0])
        >>> result = wiggle(lambda w: (w**2).sum(), start, step=0.5, sweeps=4)
        >>> result.weights.tolist(), result.values[-1]
        ([0.0, 0.0], 0.0)
    """
    _check("centred", step, (weights,))
    point = _copy(weights)
    flat = point.view(-1)
    evaluations = kept = 0

    def value() -> float:
        nonlocal evaluations
        evaluations += 1
        with torch.no_grad():
            return _number(loss(point.clone()))

    best = value()
    values = [best]
    for _ in range(sweeps):
        order: Iterable[int] = range(flat.numel())
        if generator is not None:
            order = torch.randperm(flat.numel(), generator=generator).tolist()
        for index in order:
            before = flat[index].item()
            for target in (before + step, before - step):
                reached, _ = _moved(flat, index, target, value)
                if reached < best:
                    best = reached
                    kept += 1
                    break
                flat[index] = before
        values.append(best)
    return CoordinateSearch(point, tuple(values), kept, evaluations)


def _moved(flat: Tensor, index: int, to: float, value: Callable[[], float]) -> tuple[float, float]:
    """The function after one element was moved, and where the element came to lie."""
    flat[index] = to
    return value(), flat[index].item()


def _number(value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.item())
    came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise ConfigError(
        f"The function must give a tensor of one element; what came has {came}. "
        "Reduce it first, for example with .sum() or .mean()."
    )


def _check(scheme: str, step: float | None, inputs: tuple[Tensor, ...]) -> None:
    problems = []
    if scheme not in ("centred", "forward", "backward"):
        problems.append(f"scheme={scheme!r} is not known; accepted: centred, forward, backward.")
    if step is not None and not step > 0:
        problems.append(f"step={step} must be above zero.")
    problems += [
        f"Input {i} has {tensor.dtype}; differences need floating point: use .double()."
        for i, tensor in enumerate(inputs)
        if not tensor.is_floating_point()
    ]
    if problems:
        raise ConfigError(problems)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)
