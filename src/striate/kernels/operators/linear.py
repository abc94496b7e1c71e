"""Fully connected layers: matrix products that read the weight where it lies, natively.

On processors for which torch's matrix library takes an older instruction set, these are about twice
as fast. Errors stay below 10 roundings (2⁻²⁴) of the sum of the terms' magnitudes.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.kernels.operators import native

LEAST_ROWS = 16
"""With fewer rows the product waits for the weight's memory, however it is computed."""


def linear(
    x: Float[Tensor, "*B C"], weight: Float[Tensor, "K C"], bias: Float[Tensor, " K"] | None = None
) -> Float[Tensor, "*B K"]:
    """x Wᵀ + b as `torch.nn.functional.linear`, natively where that can be faster.

    Args:
        x: Rows of inputs; 16 rows or more of float32 on a CPU run the native kernel, all else
            torch's operator.
        weight: Kernel with a row for each output.
        bias: Numbers added to the outputs.

    Example:
        >>> x, weight, bias = torch.randn(20, 7), torch.randn(5, 7), torch.randn(5)
        >>> y = torch.nn.functional.linear(x, weight, bias)
        >>> torch.allclose(linear(x, weight, bias), y, atol=1e-5)
        True
    """
    rows = math.prod(x.shape[:-1])
    fits = weight.dim() == 2 and x.shape[-1:] == weight.shape[1:] and min(weight.shape) > 0
    fits = fits and rows >= LEAST_ROWS and native.per_channel(bias, weight.shape[0])
    if not fits or not native.runs_natively(x, weight):
        return F.linear(x, weight, bias)
    flat = x if x.dim() == 2 else x.reshape(rows, x.shape[-1])
    y: Tensor = _Linear.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    return y if x.dim() == 2 else y.reshape(*x.shape[:-1], y.shape[1])


def _product(name: str, *operands: Tensor | None, shape: Any, sizes: Any) -> Tensor:
    """The native product `striate_linear_<name>` of a shape; sizes are rows, inputs, outputs."""
    y = native.new_values(*shape)
    # The list holds what the addresses point at until the call is over.
    kept = [None if t is None else t.contiguous() for t in operands]
    pointers = [*map(native.pointer, kept), y.data_ptr()]
    native.call(
        f"linear_{name}",
        (*(native.POINTER,) * len(pointers), native.SIZE, native.SIZE, native.SIZE),
        *pointers,
        *sizes,
    )
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        sizes = (*x.shape, weight.shape[0])
        return _product("forward", x, weight, bias, shape=(sizes[0], sizes[2]), sizes=sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        data, kernel, bias = ctx.needs_input_grad
        added = grad.sum(0) if bias else None
        # torch's products can be differentiated again.
        if torch.is_grad_enabled() or not native.runs_natively(grad):
            return grad @ weight if data else None, grad.t() @ x if kernel else None, added
        sizes = (*x.shape, weight.shape[0])
        gx = _product("data", grad, weight, shape=x.shape, sizes=sizes) if data else None
        gw = _product("weight", x, grad, shape=weight.shape, sizes=sizes) if kernel else None
        return gx, gw, added
