"""The passes of a fused normalisation over memory: natively, or by torch's operators."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import ShapeError
from striate.kernels import library
from striate.kernels.operators.activation import ACTIVATIONS, after_sum, gradient
from striate.kernels.operators.native import (
    INT,
    POINTER,
    SIZE,
    call,
    dense,
    float32_on_cpu,
    pointer,
)

__all__ = ["all_but_channels", "backward", "evaluate", "formula", "train"]

_STATISTICS = (*[POINTER] * 3, SIZE, SIZE)
_APPLY = (*[POINTER] * 7, SIZE, SIZE, INT)
_BACKWARD = (*[POINTER] * 11, SIZE, SIZE, INT, INT)


def _native(x: Tensor, *others: Tensor | None) -> bool:
    return float32_on_cpu(x, *others) and x.numel() > 0 and library.available() and dense(x)


def _fit(x: Tensor, images: Sequence[Tensor | None], channels: Sequence[Tensor | None]) -> bool:
    """Whether images have the shape of x, and channels a number for each of its channels."""
    return all(t is None or t.shape == x.shape for t in images) and all(
        t is None or t.shape == x.shape[1:2] for t in channels
    )


def _shape(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _like(x: Tensor, other: Tensor | None) -> Tensor | None:
    """`other` with the memory layout of x, whose channels are last."""
    if other is None or dense(other):
        return other
    return other.movedim(1, -1).contiguous().movedim(-1, 1)


def _flat(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.contiguous()


def _apply(
    x: Tensor,
    residual: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor]:
    """The output, and one over the deviation."""
    inverse = torch.rsqrt(variance.double() + eps).to(variance.dtype)
    y = torch.empty_like(x)
    channels = (mean, variance, weight, bias)
    if _native(x, residual, *channels) and _fit(x, (residual,), channels):
        # Each name holds what its address points at until the call is over.
        residual, mean = _like(x, residual), mean.contiguous()
        weight, bias, inverse = _flat(weight), _flat(bias), inverse.contiguous()
        pointers = map(pointer, (x, residual, mean, inverse, weight, bias, y))
        call("norm_apply", _APPLY, *pointers, *_shape(x), ACTIVATIONS.index(activation))
        return y, inverse
    z = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
    y.copy_(after_sum(z, residual, activation))
    return y, inverse


def train(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if _native(x):
        mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
        call("norm_statistics", _STATISTICS, *map(pointer, (x, mean, variance)), *_shape(x))
    else:
        exact = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(exact, all_but_channels(x), correction=0)
    y, inverse = _apply(x, residual, mean, variance, weight, bias, eps, activation)
    return y, mean, inverse, variance


def evaluate(x: Tensor, *arguments: Any) -> Tensor:
    return _apply(x, *arguments)[0]


def backward(
    grad: Tensor,
    x: Tensor,
    residual: Tensor | None,
    mean: Tensor,
    inverse: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
    batch: bool,
    data: bool,
    of_residual: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, residual, weight and bias; empty where not asked for."""
    channels = (mean, inverse, weight, bias)
    if not _fit(x, (grad, residual), channels):
        told = ", ".join(str(None if t is None else tuple(t.shape)) for t in (grad, *channels))
        raise ShapeError(
            f"The gradient, mean, deviation, weight and bias of {tuple(x.shape)} have the shapes "
            f"{told}, which do not belong to it."
        )
    nothing = x.new_empty(0)
    if _native(x, grad, residual, *channels) and not (of_residual and activation == "none"):
        mean, inverse = mean.contiguous(), inverse.contiguous()
        grad, residual = _like(x, grad), _like(x, residual)  # type: ignore[assignment]
        weight, bias = _flat(weight), _flat(bias)
        dx = torch.empty_like(x) if data else None
        dresidual = torch.empty_like(x) if of_residual else None
        dweight, dbias = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
        tensors = (grad, x, residual, mean, inverse, weight, bias, dx, dresidual, dweight, dbias)
        number = ACTIVATIONS.index(activation)
        call("norm_backward", _BACKWARD, *map(pointer, tensors), *_shape(x), number, int(batch))
        return (
            nothing if dx is None else dx,
            nothing if dresidual is None else dresidual,
            dweight,
            dbias,
        )
    statistics = None if batch else (mean, inverse)
    found = formula(grad, x, residual, weight, bias, statistics, eps, activation)
    dx, dz, dweight, dbias = found
    return (
        torch.empty_like(x).copy_(dx) if data else nothing,
        torch.empty_like(x).copy_(dz) if of_residual else nothing,
        dweight.to(mean.dtype),
        dbias.to(mean.dtype),
    )


def all_but_channels(x: Tensor) -> list[int]:
    """The axes over which the statistics of a channel are taken."""
    return [axis for axis in range(x.ndim) if axis != 1]


def formula(
    grad: Tensor,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: tuple[Tensor, Tensor] | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients by torch's operators, which can be differentiated again."""
    axes, view = all_but_channels(x), (1, -1, *[1] * (x.ndim - 2))
    if statistics is None:
        centred = x - x.mean(axes, keepdim=True)
        inverse = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    else:
        centred, inverse = x - statistics[0].view(view), statistics[1].view(view)
    normal = centred * inverse
    z = normal if weight is None else normal * weight.view(view)
    z = z if bias is None else z + bias.view(view)
    z = z if residual is None else z + residual
    dz = gradient(grad, z, activation)
    product = dz * normal
    away = dz
    if statistics is None:
        away = dz - dz.mean(axes, keepdim=True) - normal * product.mean(axes, keepdim=True)
    dx = away * inverse if weight is None else away * inverse * weight.view(view)
    return dx, dz, product.sum(axes), dz.sum(axes)
