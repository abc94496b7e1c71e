"""Backward rules of rectifiers: what deconvnet and guided backpropagation change.

A rectifier is known by what is computed, not by who asks for it: `nn.ReLU`, `F.relu`, `x.relu_()`
and `x.clamp(min=0)` are the same operation, once or several times in one module. The operators of
torch pass through a `TorchFunctionMode`, which needs no hook and leaves no trace.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Rectifiers", "Rule"]

Rule = Literal["guided", "deconvnet", "opening"]
"""Signals p that a rectifier passes back. guided: those above 0 where its input was above 0.
deconvnet: those above 0, wherever its input was. opening: all where it is open, and where it is
closed those that would open it; and closed ones leak a little, so that of several the one that is
nearest to opening is the largest."""

_LEAK = 1e-3


class _Call(NamedTuple):
    """A call of a rectifier min(max(x, 0), high)."""

    x: Tensor
    high: float | None
    in_place: bool


class _Rectify(torch.autograd.Function):
    """A rectifier with another backward rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: Rule, high: float | None, in_place: bool) -> Tensor:
        ctx.rule = rule
        is_above_0 = x > 0
        ctx.save_for_backward(is_above_0 if high is None else is_above_0 & (x < high), is_above_0)
        y = x.clamp(0, high)
        if rule == "opening":
            y = y.lerp(x, _LEAK)
        if not in_place:
            return y
        ctx.mark_dirty(x)
        return x.copy_(y)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor | None, ...]:
        is_open, is_above_0 = ctx.saved_tensors
        if ctx.rule == "opening":
            opens = torch.where(is_above_0, signals[0] < 0, signals[0] > 0)
            return signals[0] * (is_open | opens), None, None, None
        passed = signals[0].clamp(min=0)
        return (passed if ctx.rule == "deconvnet" else passed * is_open), None, None, None


class Rectifiers(TorchFunctionMode):
    """Gives every rectifier that runs inside the block a backward rule, and counts them.

    Args:
        rule: Rule of all rectifiers.

    Example:
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> with Rectifiers("deconvnet") as rectifiers:
        ...     y = x.relu().sum() - F.relu(x)[1]
        >>> torch.autograd.grad(y, x)[0].tolist(), rectifiers.count
        ([1.0, 1.0], 2)

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), section
    2.1; Springenberg et al., Striving for Simplicity (2015), section 3.4 and figure 1.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        known = _KNOWN.get(func)
        call = None if known is None else known(args, kwargs or {})
        if call is None:
            return func(*args, **(kwargs or {}))
        self.count += 1
        return _Rectify.apply(call.x, self.rule, call.high, call.in_place)  # type: ignore[no-untyped-call]


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], at: int, *names: str) -> Any:
    """An argument by its position or one of its names; None where it was left out."""
    if len(args) > at:
        return args[at]
    return next((kwargs[name] for name in names if name in kwargs), None)


Reader = Callable[[Sequence[Any], Mapping[str, Any]], _Call | None]


def _relu(high: float | None, in_place: bool) -> Reader:
    def read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
        x = _argument(args, kwargs, 0, "input")
        return _Call(x, high, in_place or bool(_argument(args, kwargs, 1, "inplace")))

    return read


def _between(in_place: bool) -> Reader:
    """`hardtanh` from 0, as ReLU6 is."""

    def read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
        low, high = (
            _argument(args, kwargs, at, name) for at, name in ((1, "min_val"), (2, "max_val"))
        )
        if low is None or low != 0:
            return None
        inside = in_place or bool(_argument(args, kwargs, 3, "inplace"))
        return _Call(_argument(args, kwargs, 0, "input"), 1.0 if high is None else high, inside)

    return read


def _clamp(in_place: bool) -> Reader:
    def read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
        low, high = _argument(args, kwargs, 1, "min"), _argument(args, kwargs, 2, "max")
        are_numbers = all(value is None or isinstance(value, int | float) for value in (low, high))
        if not are_numbers or low is None or low != 0:
            return None
        return _Call(_argument(args, kwargs, 0, "input", "self"), high, in_place)

    return read


def _threshold(in_place: bool) -> Reader:
    def read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
        limits = [
            _argument(args, kwargs, at, name) for at, name in ((1, "threshold"), (2, "value"))
        ]
        if limits != [0, 0]:
            return None
        inside = in_place or bool(_argument(args, kwargs, 3, "inplace"))
        return _Call(_argument(args, kwargs, 0, "input"), None, inside)

    return read


def _maximum(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
    """The larger of a tensor and zeros."""
    x, other = _argument(args, kwargs, 0, "input"), _argument(args, kwargs, 1, "other")
    if not isinstance(other, Tensor) or other.requires_grad or bool(other.any()):
        return None
    return _Call(x.expand_as(x + other), None, False)


_KNOWN: dict[Any, Reader] = {
    **{f: _relu(None, False) for f in (F.relu, torch.relu, Tensor.relu)},
    **{f: _relu(None, True) for f in (torch.relu_, Tensor.relu_)},
    F.relu6: _relu(6.0, False),
    F.hardtanh: _between(False),
    F.hardtanh_: _between(True),
    **{f: _clamp(False) for f in (torch.clamp, Tensor.clamp, torch.clip, Tensor.clip)},
    **{f: _clamp(True) for f in (torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_)},
    **{f: _clamp(False) for f in (torch.clamp_min, Tensor.clamp_min)},
    **{f: _clamp(True) for f in (torch.clamp_min_, Tensor.clamp_min_)},
    F.threshold: _threshold(False),
    torch.threshold: _threshold(False),
    F.threshold_: _threshold(True),  # type: ignore[attr-defined]
    torch.maximum: _maximum,
    Tensor.maximum: _maximum,
}
"""Readers of the calls that may be rectifiers, by torch's functions."""
