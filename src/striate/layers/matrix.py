"""Convolution as one matrix product, and scores with the bias inside the matrix.

Both are for reading and checking: torch's own convolution is faster and needs less memory. Cost
of `im2col`: a copy of the input ∏F/∏S times as large.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.layers.window import PerAxis, Window, check_axes, windows

__all__ = ["append_one", "im2col", "matrix_convolution", "merge_bias", "sliding_windows"]


def append_one(x: Float[Tensor, "... C"]) -> Float[Tensor, "... C+1"]:
    """x with a 1 behind its last value: what the merged bias is multiplied by.

    Example:
        >>> append_one(torch.tensor([[2.0, 3.0]]))
        tensor([[2., 3., 1.]])
    """
    return torch.cat((x, torch.ones_like(x[..., :1])), -1)


def merge_bias(weight: Float[Tensor, "K C"], bias: Float[Tensor, "K"]) -> Float[Tensor, "K C+1"]:
    """(W | b): append_one(x) @ (W | b)ᵀ equals x @ Wᵀ + b.

    Example:
        >>> x, weight, bias = torch.ones(1, 2), torch.tensor([[2.0, 3.0]]), torch.tensor([4.0])
        >>> append_one(x) @ merge_bias(weight, bias).T
        tensor([[9.]])
    """
    return torch.cat((weight, bias.unsqueeze(1)), 1)


def sliding_windows(x: Tensor, axes: tuple[Window, ...], first_dim: int) -> Tensor:
    """A view with each axis replaced by the outputs along it, and the kernel's axes at the end.

    Args:
        x: Already padded, with the spatial axes at `first_dim` and after.
        axes: The window of each spatial axis; its padding is not applied here.
    """
    for offset, window in enumerate(axes):
        x = x.unfold(first_dim + offset, window.extent, window.stride)
        x = x[..., :: window.dilation]
    return x


def pad_axes(x: Tensor, axes: tuple[Window, ...]) -> Tensor:
    """(B, C, *S) with zeros around it, as each window asks."""
    if not any(window.padding for window in axes):
        return x
    return F.pad(x, [window.padding for window in reversed(axes) for _ in range(2)])


def im2col(
    x: Float[Tensor, "B C *S"],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> Float[Tensor, "B CF O"]:
    """A matrix per item whose columns are the windows: (B, C·∏F, ∏O), for D = 1, 2 or 3.

    Row order is that of `weight.flatten(1)` of a convolution.

    Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for
    Document Processing (2006).

    Example:
        >>> im2col(torch.arange(4.0).view(1, 1, 4), 2)
        tensor([[[0., 1., 2.],
                 [1., 2., 3.]]])
    """
    ndim = x.ndim - 2
    axes = windows(ndim, kernel_size, stride, padding, dilation)
    for window, size in zip(axes, x.shape[2:], strict=True):
        window.output_size(size)
    view = sliding_windows(pad_axes(x, axes), axes, 2)
    outputs, kernel = range(2, 2 + ndim), range(2 + ndim, 2 + 2 * ndim)
    return view.permute(0, 1, *kernel, *outputs).flatten(2 + ndim).flatten(1, 1 + ndim)


def matrix_convolution(
    x: Float[Tensor, "B C *S"],
    weight: Float[Tensor, "M C *F"],
    bias: Float[Tensor, "M"] | None = None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> Float[Tensor, "B M *O"]:
    """A convolution as the product of weight.flatten(1), (M, C·∏F), with `im2col`'s matrix.

    Args:
        x: (B, C, *S).
        weight: (M, C, *F), torch's layout.
        bias: (M,).
        stride, padding, dilation: One number, or one per axis.

    Raises:
        ShapeError: an input that is too small or has other channels.

    Example:
        >>> matrix_convolution(torch.arange(4.0).view(1, 1, 4), torch.tensor([[[1.0, 10.0]]]))
        tensor([[[10., 21., 32.]]])
    """
    ndim = weight.ndim - 2
    check_axes(x, ndim, "matrix_convolution", weight.shape[1])
    axes = windows(ndim, tuple(weight.shape[2:]), stride, padding, dilation)
    columns = im2col(x, tuple(weight.shape[2:]), stride=stride, padding=padding, dilation=dilation)
    y = weight.flatten(1) @ columns
    if bias is not None:
        y = y + bias.unsqueeze(1)
    sizes = [window.output_size(size) for window, size in zip(axes, x.shape[2:], strict=True)]
    return y.view(*y.shape[:2], *sizes)
