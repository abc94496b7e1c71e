"""Max pooling that keeps one byte for each maximum, not eight, and gathers its gradients."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.kernels.operators import native

MOST_TAPS = 256
"""Positions in a window that one byte can tell apart."""


def max_pool2d(
    x: Float[Tensor, "*B C H W"],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "*B C H_out W_out"]:
    """The largest value in each window, with ties and NaN as torch has them.

    float32 with the channels last in memory runs natively on a CPU for windows of up to 256
    positions; all else torch's operator. Gradients of gradients are torch's too.

    Args:
        x: Images.
        kernel_size: Height and width of the window.
        stride: Steps of the windows; None: the window's size.
        padding: Width of the border, at most half the window, never the maximum.
        dilation: Distance between the positions of a window.
        ceil_mode: Whether the last windows may begin inside and end outside.

    Example:
        >>> max_pool2d(torch.arange(6.0).view(1, 1, 2, 3), 2, ceil_mode=True).flatten()
        tensor([4., 5.])
    """
    window = _pair(kernel_size)
    sizes = (window, _pair(stride or kernel_size), _pair(padding), _pair(dilation))
    fits = x.ndim == 4 and x.numel() > 0 and all(len(pair) == 2 for pair in sizes)
    fits = fits and window[0] * window[1] <= MOST_TAPS
    if not fits or not native.runs_natively(x) or not native.dense(x):
        return F.max_pool2d(x, *sizes, ceil_mode=ceil_mode)
    return _MaxPool.apply(x, sizes, ceil_mode)  # type: ignore[no-any-return, no-untyped-call]


def _pair(size: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return sizes * 2 if len(sizes) == 1 else sizes


@lru_cache(maxsize=1024)
def _output_shape(shape: torch.Size, sizes: Any, ceil_mode: bool) -> torch.Size:
    """The output's shape; the rules and the complaints are torch's."""
    image = torch.empty(shape, device="meta")
    window, stride, padding, dilation = sizes
    return F.max_pool2d(image, window, stride, padding, dilation, ceil_mode).shape


def _call(name: str, tensors: Sequence[Tensor], numbers: Sequence[int]) -> None:
    packed = torch.tensor(numbers, dtype=torch.int64, device="cpu")
    pointers = [t.data_ptr() for t in (*tensors, packed)]
    native.call(name, (native.POINTER,) * len(pointers), *pointers)


def _numbers(image: torch.Size, output: torch.Size, sizes: Any) -> list[int]:
    B, C, H, W = image
    return [B, H, W, C, *output[2:], *(number for pair in sizes for number in pair)]


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: Any, ceil_mode: bool) -> Tensor:
        y = native.new_images(_output_shape(x.shape, sizes, ceil_mode))
        index = torch.empty_like(y, dtype=torch.uint8)
        _call("pool_max", (x, y, index), _numbers(x.shape, y.shape, sizes))
        ctx.save_for_backward(index)
        ctx.image, ctx.sizes = x.shape, sizes
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not native.runs_natively(grad):
            positions = _positions(index, ctx.image[-1], *ctx.sizes)
            dx = grad.new_zeros(ctx.image).flatten(-2)
            return dx.scatter_add(-1, positions, grad.flatten(-2)).view(ctx.image), None, None
        dx = native.new_images(ctx.image)
        numbers = _numbers(ctx.image, grad.shape, ctx.sizes)
        _call("pool_max_backward", (native.channels_last(grad), index, dx), numbers)
        return dx, None, None


def _positions(
    index: Tensor, width: int, window: Any, stride: Any, padding: Any, dilation: Any
) -> Tensor:
    """The position of each maximum in its image, counted row by row: (..., H_out W_out)."""
    number = index.long()
    top = torch.arange(index.shape[-2]) * stride[0] - padding[0]
    left = torch.arange(index.shape[-1]) * stride[1] - padding[1]
    row = top[:, None] + number // window[1] * dilation[0]
    column = left + number % window[1] * dilation[1]
    return torch.flatten(row * width + column, -2)
