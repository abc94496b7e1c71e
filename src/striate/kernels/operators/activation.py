"""Activations in one pass over memory each way, and what they and their slopes are by torch."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError, unknown_name
from striate.kernels import library
from striate.kernels.operators.native import (
    INT,
    POINTER,
    SIZE,
    call,
    eager,
    eager_gradient,
    float32_on_cpu,
    own_view,
    transformed,
)
from striate.kernels.operators.registration import define, register

__all__ = [
    "ACTIVATIONS",
    "LEAST_VALUES",
    "activate",
    "after_sum",
    "by_torch",
    "gradient",
    "require_activation",
]

ACTIVATIONS = ("none", "relu", "gelu", "gelu_tanh", "silu", "tanh")
"""The native kernels know them by their place."""
LEAST_VALUES = {"gelu": 65536, "gelu_tanh": 16384, "tanh": 16384}
"""With fewer values a call costs more than the arithmetic that it saves; torch's other activations
are as fast (benchmarks/elementwise.py)."""

_VALUE = (POINTER, POINTER, SIZE, INT)
_GRADIENT = (POINTER, POINTER, POINTER, SIZE, INT)
define("activate(Tensor x, str activation) -> Tensor")
define("activate_backward(Tensor grad, Tensor x, str activation) -> Tensor")


def require_activation(activation: str, of: str = "") -> None:
    """Raise `ConfigError` for the name of no activation (of an operator).

    Example:
        >>> require_activation("silu")
    """
    if activation not in ACTIVATIONS:
        what = f"activation of {of}" if of else "activation"
        raise ConfigError(unknown_name(what, activation, ACTIVATIONS))


def activate(x: Float[Tensor, "*any"], activation: str) -> Float[Tensor, "*any"]:
    """The activation of every value of x.

    GELU, its tanh form and tanh run natively for float32 on a CPU where there are values enough to
    pay for the call; all else by torch's operators.

    Args:
        x: of any shape and layout; kept for the backward pass, for "tanh" the output is.
        activation: "none", "relu", "gelu", "gelu_tanh", "silu" or "tanh".

    Raises:
        ConfigError: an activation that does not exist.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016), for GELU, its tanh form and
    SiLU.

    Example:
        >>> x = torch.randn(100, 120)
        >>> torch.allclose(activate(x, "tanh"), x.tanh(), atol=1e-6)
        True
    """
    require_activation(activation)
    pays = x.numel() >= LEAST_VALUES.get(activation, math.inf)
    # Compilers make one loop of torch's operator and its neighbours.
    if not pays or not float32_on_cpu(x) or not eager(x) or transformed():
        return by_torch(x, activation)
    return _Eager.apply(x, activation)  # type: ignore[no-any-return, no-untyped-call]


def after_sum(z: Tensor, residual: Tensor | None, activation: str) -> Tensor:
    """Apply a sum and an activation after a normalisation, by torch's own operators."""
    return by_torch(z if residual is None else z + residual, activation)


def by_torch(z: Tensor, activation: str) -> Tensor:
    """The activation by torch's own operators."""
    match activation:
        case "relu":
            return F.relu(z)
        case "gelu":
            return F.gelu(z)
        case "gelu_tanh":
            return F.gelu(z, approximate="tanh")
        case "silu":
            return F.silu(z)
        case "tanh":
            return z.tanh()
    return z


def gradient(grad: Tensor, z: Tensor, activation: str) -> Tensor:
    """The gradient at z from the one at the activation's output, by torch's own operators."""
    aten = torch.ops.aten
    found: Tensor = grad
    match activation:
        case "relu":
            found = aten.threshold_backward(grad, z, 0)
        case "gelu":
            found = aten.gelu_backward(grad, z)
        case "gelu_tanh":
            found = aten.gelu_backward(grad, z, approximate="tanh")
        case "silu":
            share = z.sigmoid()  # silu_backward cannot be differentiated
            found = grad * share * (1 + z * (1 - share))
        case "tanh":
            found = grad * (1 - z.tanh().square())
    return found


def _native(x: Tensor) -> bool:
    return float32_on_cpu(x) and x.numel() > 0 and library.available()


def _alike(x: Tensor, other: Tensor) -> Tensor:
    """`other` in the memory layout of x, which has no gaps."""
    return other if other.stride() == x.stride() else torch.empty_like(x).copy_(other)


def _value(x: Tensor, activation: str) -> Tensor:
    y = torch.empty_like(x)  # without gaps, whatever x is
    if not _native(x):
        return y.copy_(by_torch(x, activation))
    x, number = _alike(y, x), ACTIVATIONS.index(activation)
    call("activation_value", _VALUE, x.data_ptr(), y.data_ptr(), x.numel(), number)
    return y


def _backward(grad: Tensor, x: Tensor, activation: str) -> Tensor:
    dx = torch.empty_like(x)
    if not _native(x) or grad.shape != x.shape or not float32_on_cpu(grad):
        return dx.copy_(gradient(grad, x, activation))
    grad, x = _alike(dx, grad), _alike(dx, x)
    pointers = [t.data_ptr() for t in (grad, x, dx)]
    call("activation_gradient", _GRADIENT, *pointers, x.numel(), ACTIVATIONS.index(activation))
    return dx


def _fake(x: Tensor, activation: str) -> Tensor:
    return torch.empty_like(x)


def _fake_backward(grad: Tensor, x: Tensor, activation: str) -> Tensor:
    return torch.empty_like(x)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.activation = inputs
    # The output is kept by the layer that follows anyway.
    ctx.save_for_backward(output if ctx.activation == "tanh" else x)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (saved,) = ctx.saved_tensors
    if ctx.activation == "tanh":
        return torch.ops.aten.tanh_backward(grad, saved), None
    backward: Any = _backward if eager_gradient(grad) else torch.ops.striate.activate_backward
    return backward(grad, saved, ctx.activation), None


class _Eager(torch.autograd.Function):
    """The operator for plain eager calls, without dispatch through Python."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _value(*inputs)
        _save(ctx, inputs, output)
        return output

    backward = staticmethod(_gradients)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, x, ctx.activation = inputs
    ctx.save_for_backward(grad, x)


def _second_gradients(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the gradient, through torch's operators."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        grad, x = map(own_view, ctx.saved_tensors)
        found = gradient(grad, x, ctx.activation)
        first, second = torch.autograd.grad(
            found, [grad, x], v, create_graph=again, allow_unused=True
        )
    return first, second, None


register("activate", _value, _fake, _gradients, _save)
register("activate_backward", _backward, _fake_backward, _second_gradients, _save_backward)
