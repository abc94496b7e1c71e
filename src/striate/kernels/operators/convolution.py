"""The 2-D convolution whose output and gradients are each computed by their own method."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.kernels.operators.methods import fitting
from striate.kernels.operators.native import channels_last, per_channel, runs_natively


def convolution(
    x: Float[Tensor, "*B C H W"],
    weight: Float[Tensor, "K C_g R S"],
    bias: Float[Tensor, " K"] | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    methods: str = "torch,torch,torch",
) -> Float[Tensor, "*B K H_out W_out"]:
    """The convolution of images with a kernel, computed and differentiated by named methods.

    A method that does not fit the shapes gives way to torch's own operator, so that any names are
    correct for any input. Gradients of gradients are torch's too.

    Args:
        x: Images; float32 on a CPU runs native methods, all else torch's operator.
        weight: Kernel.
        bias: Numbers added to the channels of the output.
        stride: Steps of rows and columns.
        padding: Zeros around the image.
        dilation: Distance between the kernel's elements.
        groups: Number of blocks of channels that see only each other.
        methods: "forward,data,weight", each "torch" or a name of `METHODS`.

    Raises:
        ConfigError: a method that does not exist.

    Example:
        >>> x, weight = torch.randn(2, 5, 7, 9), torch.randn(4, 5, 3, 3)
        >>> y = convolution(x, weight, padding=(1, 1), methods="winograd4,winograd4,winograd4")
        >>> torch.allclose(y, torch.conv2d(x, weight, padding=1), atol=1e-3)
        True
    """
    sizes = (stride, padding, dilation, groups, methods)
    if x.ndim != 4 or not runs_natively(x, weight):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    return _Convolution.apply(x, weight, bias, sizes)  # type: ignore[no-any-return, no-untyped-call]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, sizes: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias, ctx.sizes = bias is not None, sizes
        native = fitting("forward", x.shape, weight, sizes)
        if native is None or not per_channel(bias, weight.shape[0]):
            return channels_last(F.conv2d(x, weight, bias, *sizes[:-1]))  # or it says what is wrong
        geometry, method = native
        bias = None if bias is None else bias.contiguous()
        return method.forward(channels_last(x), weight, bias, geometry, None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        data, kernel, _, _ = ctx.needs_input_grad
        bias = ctx.has_bias and ctx.needs_input_grad[2]
        if torch.is_grad_enabled() or not runs_natively(grad):
            return *_torch_gradients(grad, x, weight, ctx.sizes, (data, kernel, bias)), None
        gx = _data(grad, x, weight, ctx.sizes) if data else None
        gw, gb = _weight(grad, x, weight, bias, ctx.sizes) if kernel or bias else (None, None)
        return gx, gw, gb, None


def _data(grad: Tensor, x: Tensor, weight: Tensor, sizes: tuple[Any, ...]) -> Tensor:
    native = fitting("data", x.shape, weight, sizes)
    if native is None:
        # Only the shape and layout of x are read: memory that is never touched costs nothing.
        x = torch.empty_like(x, memory_format=torch.channels_last)
        return channels_last(_torch_gradients(grad, x, weight, sizes, (True, False, False))[0])
    geometry, method = native
    return method.data(channels_last(grad), weight, geometry)


def _weight(
    grad: Tensor, x: Tensor, weight: Tensor, bias: bool, sizes: tuple[Any, ...]
) -> tuple[Tensor, Tensor | None]:
    native = fitting("weight", x.shape, weight, sizes)
    if native is not None:
        geometry, method = native
        return method.weight(channels_last(grad), channels_last(x), weight, geometry, bias)
    _, gw, gb = _torch_gradients(grad, x, weight, sizes, (False, True, bias))
    if gw.stride() != weight.stride():
        gw = torch.empty_like(weight).copy_(gw)
    return gw, gb if bias else None


def _torch_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[Any], needed: Sequence[bool]
) -> tuple[Any, Any, Any]:
    """Gradients of x, weight and bias by torch's operator, which can be differentiated again."""
    stride, padding, dilation, groups, _ = sizes
    rest = (stride, padding, dilation, False, [0, 0], groups, needed)
    num_filters = [weight.shape[0]] if needed[2] else None
    gradients: tuple[Any, Any, Any] = torch.ops.aten.convolution_backward(
        grad, x, weight, num_filters, *rest
    )
    return gradients
