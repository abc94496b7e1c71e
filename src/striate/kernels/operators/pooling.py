"""Max pooling that keeps one byte for each maximum, not eight, and gathers its gradients."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError
from striate.kernels import library
from striate.kernels.operators.native import (
    POINTER,
    call,
    channels_last,
    dense,
    eager,
    eager_gradient,
    float32_on_cpu,
    new_images,
    transformed,
)
from striate.kernels.operators.registration import define, register

__all__ = ["max_pool2d"]

MOST_TAPS = 256
"""Places of a window that one byte can tell apart."""
_NUMBERS = 14
"""Six sizes of the images and four pairs."""

_SIZES = "SymInt[] window, SymInt[] stride, SymInt[] padding, SymInt[] dilation"
define(f"max_pool2d(Tensor x, {_SIZES}, bool ceil_mode) -> (Tensor, Tensor)")
define(
    f"max_pool2d_backward(Tensor grad, Tensor index, SymInt height, SymInt width, {_SIZES}) "
    "-> Tensor"
)
define(f"max_pool2d_take(Tensor x, Tensor index, {_SIZES}) -> Tensor")


def max_pool2d(
    x: Float[Tensor, "B C H W"],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "B C H_out W_out"]:
    """The largest value in each window, with ties and NaN as torch has them.

    float32 with the channels last in memory runs natively on a CPU for windows of up to 256
    places; all else torch's operators.

    Args:
        x: images.
        kernel_size: height and width of the window.
        stride: of the windows; the window's size where it is not given.
        padding: of the border, at most half the window, never the maximum.
        dilation: distance between the places of a window.
        ceil_mode: let the last windows begin inside and end outside.

    Example:
        >>> max_pool2d(torch.arange(6.0).view(1, 1, 2, 3), 2, ceil_mode=True).flatten()
        tensor([4., 5.])
    """
    window, dilated = _pair(kernel_size), _pair(dilation)
    padded, step = _pair(padding), window if not stride else _pair(stride)
    if window[0] * window[1] > MOST_TAPS or transformed():
        return F.max_pool2d(x, window, step, padded, dilated, ceil_mode)
    pool: Any = _PoolFunction.apply if eager(x) else torch.ops.striate.max_pool2d
    y: Tensor = pool(x, window, step, padded, dilated, ceil_mode)[0]
    return y


def _pair(size: int | Sequence[int]) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * 2 if len(sizes) == 1 else sizes


def _native(x: Tensor) -> bool:
    return float32_on_cpu(x) and x.ndim == 4 and x.numel() > 0 and library.available()


def _padded(padding: Sequence[int], window: Sequence[int]) -> bool:
    """Whether every window has a place inside, as torch demands of it."""
    return all(2 * pad <= side for pad, side in zip(padding, window, strict=False))


def _call(name: str, pointers: Sequence[Tensor], sizes: Sequence[int]) -> None:
    if len(sizes) != _NUMBERS:
        raise ShapeError("Window, stride, padding and dilation of a pooling have two numbers each.")
    packed = torch.tensor(sizes, dtype=torch.int64, device="cpu")
    arguments = [t.data_ptr() for t in (*pointers, packed)]
    call(name, (POINTER,) * len(arguments), *arguments)


def _pool(x: Tensor, *sizes: Any) -> tuple[Tensor, Tensor]:
    window, stride, padding, dilation, ceil_mode = sizes
    if _native(x) and dense(x) and _padded(padding, window):
        shape = _shape(tuple(x.shape), *map(tuple, sizes[:4]), ceil_mode)
        y = new_images(shape)
        index = torch.empty_like(y, dtype=torch.uint8)
        B, C, H, W = x.shape
        _call(
            "pool_max",
            (x, y, index),
            [B, H, W, C, *shape[2:], *window, *stride, *padding, *dilation],
        )
        return y, index
    y, place = F.max_pool2d_with_indices(x, window, stride, padding, dilation, ceil_mode)
    row, column = place // x.shape[-1], place % x.shape[-1]
    top, left = _corners(y, stride, padding)
    index = (row - top) // dilation[0] * window[1] + (column - left) // dilation[1]
    return y, index.to(torch.uint8)


@lru_cache(maxsize=1024)
def _shape(
    shape: tuple[int, ...],
    window: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> torch.Size:
    """The output's shape; the rules and the complaints are torch's."""
    image = torch.empty(shape, device="meta")
    return F.max_pool2d(image, window, stride, padding, dilation, ceil_mode).shape


def _corners(y: Tensor, stride: Sequence[int], padding: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Row and column where each window begins."""
    rows = torch.arange(y.shape[-2], device=y.device) * stride[0] - padding[0]
    columns = torch.arange(y.shape[-1], device=y.device) * stride[1] - padding[1]
    return rows[:, None], columns


def _places(
    index: Tensor, width: int, window: Any, stride: Any, padding: Any, dilation: Any
) -> Tensor:
    """The index of each maximum in the image, row by row: (..., H_out W_out)."""
    number = index.long()
    top, left = _corners(index, stride, padding)
    row = top + number // window[1] * dilation[0]
    column = left + number % window[1] * dilation[1]
    places: Tensor = (row * width + column).flatten(-2)
    return places


def _backward(grad: Tensor, index: Tensor, height: int, width: int, *sizes: Any) -> Tensor:
    if index.shape != grad.shape:
        raise ShapeError(
            f"The gradient {tuple(grad.shape)} must have the shape of the maxima's index, "
            f"{tuple(index.shape)}."
        )
    shape = (*grad.shape[:-2], height, width)
    stored = index.dtype == torch.uint8 and index.is_cpu and dense(index)
    window, stride, padding, dilation = sizes
    if _native(grad) and stored and _padded(padding, window):
        grad = channels_last(grad)
        dx = new_images(shape)
        B, C, H, W = grad.shape
        _call(
            "pool_max_backward",
            (grad, index, dx),
            [B, height, width, C, H, W, *window, *stride, *padding, *dilation],
        )
        return dx
    dx = grad.new_zeros(shape).flatten(-2)
    places = _places(index, width, *sizes)
    dx = dx.scatter_add(-1, places, grad.flatten(-2)).view(shape)
    return dx.contiguous(memory_format=_format(index))


def _format(t: Tensor) -> torch.memory_format:
    return torch.channels_last if t.ndim == 4 and dense(t) else torch.contiguous_format


def _take(x: Tensor, index: Tensor, *sizes: Any) -> Tensor:
    """The values of x at the places that the index tells: the backward's adjoint."""
    taken = x.flatten(-2).gather(-1, _places(index, x.shape[-1], *sizes)).view(index.shape)
    return taken.contiguous(memory_format=_format(index))


def _fake_pool(x: Tensor, *sizes: Any) -> tuple[Tensor, Tensor]:
    y = F.max_pool2d(x, *sizes)
    y = torch.empty_like(y, memory_format=_format(x))
    return y, torch.empty_like(y, dtype=torch.uint8)


def _fake_backward(grad: Tensor, index: Tensor, height: int, width: int, *sizes: Any) -> Tensor:
    dx = grad.new_empty((*grad.shape[:-2], height, width))
    return torch.empty_like(dx, memory_format=_format(index))


def _fake_take(x: Tensor, index: Tensor, *sizes: Any) -> Tensor:
    return torch.empty_like(index, dtype=x.dtype, memory_format=_format(index))


def _save_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, *sizes, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])
    ctx.image, ctx.sizes = x.shape[-2:], sizes


def _pool_gradients(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    (index,) = ctx.saved_tensors
    backward: Any = _backward if eager_gradient(grad) else torch.ops.striate.max_pool2d_backward
    return backward(grad, index, *ctx.image, *ctx.sizes), *[None] * 5


class _PoolFunction(torch.autograd.Function):
    """The operator for plain eager calls, without dispatch through Python."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        output = _pool(*inputs)
        _save_pool(ctx, inputs, output)
        return output

    backward = staticmethod(_pool_gradients)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, index, _, _, *sizes = inputs
    ctx.save_for_backward(index)
    ctx.sizes = sizes


def _second_gradients(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    (index,) = ctx.saved_tensors
    return torch.ops.striate.max_pool2d_take(v, index, *ctx.sizes), *[None] * 7


def _save_take(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, index, *sizes = inputs
    ctx.save_for_backward(index)
    ctx.image, ctx.sizes = x.shape[-2:], sizes


def _take_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (index,) = ctx.saved_tensors
    dx = torch.ops.striate.max_pool2d_backward(grad, index, *ctx.image, *ctx.sizes)
    return dx, *[None] * 5


register("max_pool2d", _pool, _fake_pool, _pool_gradients, _save_pool, float32=True)
register("max_pool2d_backward", _backward, _fake_backward, _second_gradients, _save_backward)
register("max_pool2d_take", _take, _fake_take, _take_gradients, _save_take)
