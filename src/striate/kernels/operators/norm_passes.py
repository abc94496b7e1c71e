"""Passes of a fused batch normalisation over memory: statistics, output, gradients.

Saved for the backward pass are x, the statistics and, where an activation follows, the residual:
the normalised values and the slope of the activation are computed again, which costs less than
memory.
"""

from typing import Any

import torch
from torch import Tensor

from striate.kernels.operators.activation import activation_number, gradient
from striate.kernels.operators.native import (
    INT,
    POINTER,
    SIZE,
    call,
    dense,
    pointer,
    runs_natively,
)

__all__ = ["NormAct", "statistics"]

_STATISTICS = (*[POINTER] * 3, SIZE, SIZE)
_APPLY = (*[POINTER] * 7, SIZE, SIZE, INT)
_BACKWARD = (*[POINTER] * 11, SIZE, SIZE, INT, INT)


def _rows_and_channels(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _dense(image: Tensor | None) -> Tensor | None:
    """The values with their channels last in memory."""
    if image is None or dense(image):
        return image
    return image.movedim(1, -1).contiguous().movedim(-1, 1)


def _flat(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.contiguous()


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel of dense float32 values."""
    mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    call("norm_statistics", _STATISTICS, *map(pointer, (x, mean, variance)), *_rows_and_channels(x))
    return mean, variance


class NormAct(torch.autograd.Function):
    """`activation((x − mean) / deviation · weight + bias + residual)`.

    With `is_batch` mean and variance are those of x, and the gradient takes that into account.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        is_batch: bool,
        eps: float,
        activation: str,
    ) -> Tensor:
        inverse = torch.rsqrt(variance.double() + eps).to(variance.dtype).contiguous()
        ctx.save_for_backward(x, residual if activation != "none" else None, weight, bias, mean)
        ctx.inverse, ctx.rest = inverse, (is_batch, eps, activation)
        y = torch.empty_like(x)
        # The tuple holds what the addresses point at until the call is over.
        kept = (x, _dense(residual), _flat(mean), inverse, _flat(weight), _flat(bias), y)
        pointers = map(pointer, kept)
        call("norm_apply", _APPLY, *pointers, *_rows_and_channels(x), activation_number(activation))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[:4]
        # Without an activation the residual's gradient is the output's.
        is_masked = needed[1] and ctx.rest[-1] != "none"
        by_torch = torch.is_grad_enabled() or not runs_natively(grad)
        passes: Any = _formula if by_torch else _backward
        dx, dresidual, dweight, dbias = passes(
            grad, *ctx.saved_tensors, ctx.inverse, *ctx.rest, needed[0], is_masked
        )
        found = (dx, dresidual if is_masked else grad, dweight, dbias)
        return *(d if wanted else None for d, wanted in zip(found, needed, strict=True)), *[
            None
        ] * 5


def _backward(
    grad: Tensor,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    inverse: Tensor,
    is_batch: bool,
    eps: float,
    activation: str,
    data: bool,
    is_masked: bool,
) -> tuple[Tensor | None, ...]:
    """Gradients of x, residual, weight and bias natively; None for images that are not needed."""
    # The lists hold what the addresses point at until the call is over.
    images = [_dense(grad), x, _dense(residual)]
    channels = [_flat(mean), inverse, _flat(weight), _flat(bias)]
    dx = torch.empty_like(x) if data else None
    dresidual = torch.empty_like(x) if is_masked else None
    dweight, dbias = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    pointers = map(pointer, (*images, *channels, dx, dresidual, dweight, dbias))
    number = activation_number(activation)
    call("norm_backward", _BACKWARD, *pointers, *_rows_and_channels(x), number, int(is_batch))
    return dx, dresidual, dweight, dbias


def _formula(
    grad: Tensor,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    inverse: Tensor,
    is_batch: bool,
    eps: float,
    activation: str,
    *_: bool,
) -> tuple[Tensor, ...]:
    """Gradients of x, residual, weight and bias by operators that can be differentiated again."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    view = (1, -1, *[1] * (x.ndim - 2))
    if is_batch:
        centred = x - x.mean(axes, keepdim=True)
        inverse = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    else:
        centred, inverse = x - mean.view(view), inverse.view(view)
    normal = centred * inverse
    z = normal if weight is None else normal * weight.view(view)
    z = z if bias is None else z + bias.view(view)
    z = z if residual is None else z + residual
    dz = gradient(grad, z, activation)
    product = dz * normal
    away = dz
    if is_batch:
        away = dz - dz.mean(axes, keepdim=True) - normal * product.mean(axes, keepdim=True)
    dx = away * inverse if weight is None else away * inverse * weight.view(view)
    return dx, dz, product.sum(axes), dz.sum(axes)
