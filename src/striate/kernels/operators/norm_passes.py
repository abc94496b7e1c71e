"""Passes of a fused batch normalisation over memory: statistics, output, gradients.

Saved for the backward pass are x, the statistics and, where an activation follows, the residual:
the normalised values and the slope of the activation are computed again, which costs less than
memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.kernels.operators import native
from striate.kernels.operators.activation import ACTIVATIONS, activation_number

_STATISTICS = (*[native.POINTER] * 3, native.SIZE, native.SIZE)
_APPLY = (*[native.POINTER] * 7, native.SIZE, native.SIZE, native.INT)
_BACKWARD = (*[native.POINTER] * 11, native.SIZE, native.SIZE, native.INT, native.INT)


def _rows_and_channels(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _dense(image: Tensor | None) -> Tensor | None:
    """The values with their channels last in memory."""
    if image is None or native.dense(image):
        return image
    return image.movedim(1, -1).contiguous().movedim(-1, 1)


def _flat(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.contiguous()


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel of dense float32 values."""
    mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    native.call(
        "norm_statistics",
        _STATISTICS,
        *map(native.pointer, (x, mean, variance)),
        *_rows_and_channels(x),
    )
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
        masking = residual if activation != "none" else None
        ctx.save_for_backward(x, masking, weight, bias, mean, variance)
        ctx.inverse, ctx.rest = inverse, (is_batch, eps, activation)
        y = torch.empty_like(x)
        # The tuple holds what the addresses point at until the call is over.
        kept = (x, _dense(residual), _flat(mean), inverse, _flat(weight), _flat(bias), y)
        pointers = map(native.pointer, kept)
        native.call(
            "norm_apply", _APPLY, *pointers, *_rows_and_channels(x), activation_number(activation)
        )
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, residual, weight, bias, mean, variance = ctx.saved_tensors
        is_batch, eps, activation = ctx.rest
        needed = list(ctx.needs_input_grad[:4])
        # Without an activation the residual's gradient is the output's.
        is_plain = needed[1] and activation == "none"
        needed[1] = needed[1] and not is_plain
        if torch.is_grad_enabled() or not native.runs_natively(grad):

            def by_torch(x: Tensor, residual: Any, weight: Any, bias: Any) -> Tensor:
                known = [None, None] if is_batch else [mean, variance]
                z = F.batch_norm(x, known[0], known[1], weight, bias, is_batch, eps=eps)
                return ACTIVATIONS[activation](z if residual is None else z + residual)

            inputs = (x, residual, weight, bias)
            found = native.differentiate(by_torch, inputs, needed, grad)
        else:
            found = [
                gradient if is_needed else None
                for gradient, is_needed in zip(_backward(ctx, grad, needed), needed, strict=True)
            ]
        found[1] = grad if is_plain else found[1]
        return *found, *[None] * 5


def _backward(ctx: Any, grad: Tensor, needed: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Gradients of x, residual, weight and bias natively; None for images that are not needed."""
    x, residual, weight, bias, mean, _ = ctx.saved_tensors
    is_batch, _, activation = ctx.rest
    # The lists hold what the addresses point at until the call is over.
    images = [_dense(grad), x, _dense(residual)]
    channels = [_flat(mean), ctx.inverse, _flat(weight), _flat(bias)]
    dx, dresidual = (torch.empty_like(x) if is_needed else None for is_needed in needed[:2])
    dweight, dbias = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    pointers = map(native.pointer, (*images, *channels, dx, dresidual, dweight, dbias))
    number = activation_number(activation)
    native.call("norm_backward", _BACKWARD, *pointers, *_rows_and_channels(x), number, is_batch)
    return dx, dresidual, dweight, dbias
