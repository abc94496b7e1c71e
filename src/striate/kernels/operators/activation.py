"""Activations in one pass over memory each way, and the activations by torch."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError, unknown_name
from striate.kernels.operators.native import INT, POINTER, SIZE, call, differentiate, runs_natively

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "relu6": F.relu6,
}
"""Activations by torch's operators; the native kernels know them by their position."""
LEAST_VALUES = {"gelu": 65536, "gelu_tanh": 16384, "tanh": 16384}
"""With fewer values a call costs more than the arithmetic that it saves; torch's other activations
are as fast (benchmarks/elementwise.py)."""

_VALUE = (POINTER, POINTER, SIZE, INT)
_GRADIENT = (POINTER, POINTER, POINTER, SIZE, INT)
NUMBERS = {name: number for number, name in enumerate(ACTIVATIONS)}
"""Numbers by which native code knows activations."""


def require_activation(activation: str, operator: str = "") -> None:
    """Raise `ConfigError` for a name that is no activation (of an operator).

    Example:
        >>> require_activation("silu")
    """
    if activation not in ACTIVATIONS:
        what = f"activation of {operator}" if operator else "activation"
        raise ConfigError(unknown_name(what, activation, ACTIVATIONS))


def activate(x: Float[Tensor, "*any"], activation: str) -> Float[Tensor, "*any"]:
    """The activation of every value of x.

    GELU, its tanh form and tanh run natively for float32 on a CPU where there are values enough to
    pay for the call; all else by torch's operators.

    Args:
        x: Values of any shape and layout; kept for the backward pass, for "tanh" the output is.
        activation: "none", "relu", "gelu", "gelu_tanh", "silu", "tanh" or "relu6".

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
    if x.numel() < LEAST_VALUES.get(activation, math.inf) or not runs_natively(x):
        return ACTIVATIONS[activation](x)
    return _Activation.apply(x, activation)  # type: ignore[no-any-return, no-untyped-call]


def _laid_out_as(x: Tensor, other: Tensor) -> Tensor:
    """`other` in the memory layout of x, which has no gaps."""
    return other if other.stride() == x.stride() else torch.empty_like(x).copy_(other)


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: str) -> Tensor:
        y = torch.empty_like(x)  # without gaps, whatever x is
        values = _laid_out_as(y, x)
        pointers = values.data_ptr(), y.data_ptr()
        call("activation_value", _VALUE, *pointers, x.numel(), NUMBERS[activation])
        ctx.activation = activation
        # The layer that follows keeps the output anyway.
        ctx.save_for_backward(y if activation == "tanh" else x)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        (saved,) = ctx.saved_tensors
        if ctx.activation == "tanh":
            return torch.ops.aten.tanh_backward(grad, saved), None
        if torch.is_grad_enabled() or not runs_natively(grad):
            return differentiate(ACTIVATIONS[ctx.activation], [saved], [True], grad)[0], None
        dx = torch.empty_like(saved)
        grad, x = _laid_out_as(dx, grad), _laid_out_as(dx, saved)
        pointers = [t.data_ptr() for t in (grad, x, dx)]
        call("activation_gradient", _GRADIENT, *pointers, x.numel(), NUMBERS[ctx.activation])
        return dx, None
