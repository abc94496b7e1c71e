"""Fully connected layers: matrix products that read the weight where it lies, natively.

On processors for which torch's matrix library takes an older instruction set, these are about twice
as fast; few rows (fewer than 16) and anything but float32 on a CPU go to torch's operator.

Errors stay below 10 roundings (2⁻²⁴) of the sum of the terms' magnitudes.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.kernels import library
from striate.kernels.operators.native import (
    POINTER,
    SIZE,
    call,
    float32_on_cpu,
    new_values,
    per_channel,
    pointer,
    transformed,
)
from striate.kernels.operators.registration import define, register

__all__ = ["LEAST_ROWS", "linear"]

LEAST_ROWS = 16
"""With fewer rows the product waits for the weight's memory, however it is computed."""

define("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor")
define("linear_data(Tensor grad, Tensor weight) -> Tensor")
define("linear_weight(Tensor grad, Tensor x) -> Tensor")


def linear(
    x: Float[Tensor, "*B C"], weight: Float[Tensor, "K C"], bias: Float[Tensor, " K"] | None = None
) -> Float[Tensor, "*B K"]:
    """x Wᵀ + b as `torch.nn.functional.linear`, natively where that can be faster.

    Args:
        x: rows of inputs; float32 on a CPU runs the native kernel, all else torch's operator.
        weight: a row for each output.
        bias: added to each output.

    Example:
        >>> x, weight, bias = torch.randn(20, 7), torch.randn(5, 7), torch.randn(5)
        >>> y = torch.nn.functional.linear(x, weight, bias)
        >>> torch.allclose(linear(x, weight, bias), y, atol=1e-5)
        True
    """
    flat = x if x.dim() == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        y: Tensor = torch.ops.striate.linear(flat, weight, bias)
    elif transformed():
        return torch.nn.functional.linear(x, weight, bias)
    else:
        y = _Eager.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    return y if x.dim() == 2 else y.reshape(*x.shape[:-1], y.shape[1])


def _run(name: str, tensors: tuple[Tensor | None, ...], sizes: tuple[int, ...]) -> None:
    """With `sizes` rows, inputs, outputs."""
    declared = (*(POINTER,) * len(tensors), SIZE, SIZE, SIZE)
    call(f"linear_{name}", declared, *map(pointer, tensors), *sizes)


def _native(rows: Tensor, other: Tensor, fits: bool) -> bool:
    """Whether the kernel computes this; of what does not fit torch's operator says why."""
    return (
        float32_on_cpu(rows, other)
        and rows.dim() == other.dim() == 2
        and fits
        and rows.shape[0] >= LEAST_ROWS
        and min(*rows.shape, *other.shape) > 0
        and library.available()
    )


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not _native(
        x, weight, x.shape[-1:] == weight.shape[1:] and per_channel(bias, weight.shape[0])
    ):
        return torch.nn.functional.linear(x, weight, bias)
    x, weight = x.contiguous(), weight.contiguous()
    y = new_values(x.shape[0], weight.shape[0])
    bias = None if bias is None else bias.contiguous()
    _run("forward", (x, weight, bias, y), (*x.shape, weight.shape[0]))
    return y


def _data(grad: Tensor, weight: Tensor) -> Tensor:
    if not _native(grad, weight, grad.shape[1:] == weight.shape[:1]):
        return grad @ weight
    grad, weight = grad.contiguous(), weight.contiguous()
    gx = new_values(grad.shape[0], weight.shape[1])
    _run("data", (grad, weight, gx), (*gx.shape, grad.shape[1]))
    return gx


def _weight(grad: Tensor, x: Tensor) -> Tensor:
    if not _native(grad, x, grad.shape[:1] == x.shape[:1]):
        return grad.t() @ x
    grad, x = grad.contiguous(), x.contiguous()
    gw = new_values(grad.shape[1], x.shape[1])
    _run("weight", (x, grad, gw), (*x.shape, grad.shape[1]))
    return gw


def _gradients(ctx: Any, grad: Tensor, data: Any, weight: Any) -> tuple[Tensor | None, ...]:
    x, w = ctx.saved_tensors
    return (
        data(grad, w) if ctx.needs_input_grad[0] else None,
        weight(grad, x) if ctx.needs_input_grad[1] else None,
        grad.sum(0) if ctx.needs_input_grad[2] else None,
    )


class _Eager(torch.autograd.Function):
    """The operator for plain eager calls, without torch's dispatch through Python."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # gradients of gradients need what autograd knows
            return _gradients(ctx, grad, torch.matmul, lambda g, x: g.t() @ x)
        return _gradients(ctx, grad, _data, _weight)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _operator_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    operators = torch.ops.striate
    return _gradients(ctx, grad, operators.linear_data, operators.linear_weight)


def _data_gradients(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor]:
    grad, weight = ctx.saved_tensors
    return v @ weight.t(), grad.t() @ v


def _weight_gradients(ctx: Any, u: Tensor) -> tuple[Tensor, Tensor]:
    grad, x = ctx.saved_tensors
    return x @ u.t(), grad @ u


register("linear", _forward, torch.nn.functional.linear, _operator_gradients, _save, float32=True)
register("linear_data", _data, torch.matmul, _data_gradients, _save)
register("linear_weight", _weight, lambda grad, x: grad.t() @ x, _weight_gradients, _save)
