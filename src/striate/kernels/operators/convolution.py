"""The 2-D convolution whose forward and gradients each take their own method.

`torch.ops.striate.convolution` is torch's convolution with one more argument: three names,
"forward,data,weight", of the methods that compute the output and the gradients of the data and
of the weight. A method that does not fit the shapes, the device or the number type gives way to
torch's own operator, so that any names are correct for any input.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.kernels.operators.geometry import Geometry
from striate.kernels.operators.methods import (
    METHODS,
    candidates,
    default_methods,
    fitting,
    parse,
)
from striate.kernels.operators.native import channels_last, float32_on_cpu, per_channel, transformed
from striate.kernels.operators.registration import define, register

__all__ = ["METHODS", "Geometry", "candidates", "convolution", "default_methods"]

_CHANNELS_LAST = torch.channels_last
_SIZES = "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, str methods"
define(f"convolution(Tensor x, Tensor weight, Tensor? bias, {_SIZES}) -> Tensor")
define(f"convolution_data(Tensor grad, Tensor weight, SymInt[] size, {_SIZES}) -> Tensor")
define(
    "convolution_weight(Tensor grad, Tensor x, Tensor weight, bool bias, "
    f"{_SIZES}) -> (Tensor, Tensor)"
)


def convolution(
    x: Float[Tensor, "B C H W"],
    weight: Float[Tensor, "K C_g R S"],
    bias: Float[Tensor, " K"] | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    methods: str = "torch,torch,torch",
) -> Float[Tensor, "B K H_out W_out"]:
    """The convolution of images with a kernel, computed and differentiated by named methods.

    Args:
        x: images; float32 on a CPU runs native methods, all else torch's operator.
        weight: the kernel.
        bias: added to each channel of the output.
        stride: of rows and columns, as are padding and dilation.
        padding: zeros around the image.
        dilation: distance between the kernel's elements.
        groups: blocks of channels that see only each other.
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
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        y: Tensor = torch.ops.striate.convolution(x, weight, bias, *sizes)
        return y
    parse(methods)
    if transformed():
        return _by_torch(x, weight, bias, sizes)
    # The operator's own dispatch through Python costs ten times as much as this.
    return _Eager.apply(x, weight, bias, sizes)  # type: ignore[no-any-return, no-untyped-call]


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
    native = fitting("forward", x.shape, weight, x, sizes)
    if native is None or not per_channel(bias, weight.shape[0]):
        return channels_last(_by_torch(x, weight, bias, sizes))  # which says what is wrong, if so
    geometry, method = native
    bias = None if bias is None else bias.contiguous()
    return method.forward(channels_last(x), weight, bias, geometry, None)


def _data(grad: Tensor, weight: Tensor, size: Sequence[int], *sizes: Any) -> Tensor:
    native = fitting("data", size, weight, grad, sizes)
    if native is None or grad.shape != native[0].output:
        # Only its shape and layout are looked at: memory that is never touched costs nothing.
        x = torch.empty(size, dtype=grad.dtype, device=grad.device, memory_format=_CHANNELS_LAST)
        return channels_last(_torch_backward(grad, x, weight, sizes, (True, False, False))[0])
    geometry, method = native
    return method.data(channels_last(grad), weight, geometry)


def _weight(
    grad: Tensor, x: Tensor, weight: Tensor, bias: bool, *sizes: Any
) -> tuple[Tensor, Tensor]:
    native = fitting("weight", x.shape, weight, x, sizes)
    if native is None or grad.shape != native[0].output or not float32_on_cpu(grad):
        _, gw, gb = _torch_backward(grad, x, weight, sizes, (False, True, bias))
        if gw.stride() != weight.stride():
            gw = torch.empty_like(weight).copy_(gw)
    else:
        geometry, method = native
        gw, gb = method.weight(channels_last(grad), channels_last(x), weight, geometry, bias)
    return gw, weight.new_empty(0) if gb is None else gb


def _by_torch(x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[Any]) -> Tensor:
    stride, padding, dilation, groups, _ = sizes
    y: Tensor = torch.ops.aten.convolution(
        x, weight, bias, stride, padding, dilation, False, [0, 0], groups
    )
    return y


def _torch_backward(
    grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[Any], mask: Sequence[bool]
) -> tuple[Any, Any, Any]:
    stride, padding, dilation, groups, _ = sizes
    gradients: tuple[Any, Any, Any] = torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        [weight.shape[0]] if mask[2] else None,
        stride,
        padding,
        dilation,
        False,
        [0, 0],
        groups,
        mask,
    )
    return gradients


def _fake_forward(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
    return torch.empty_like(_by_torch(x, weight, bias, sizes), memory_format=_CHANNELS_LAST)


def _fake_data(grad: Tensor, weight: Tensor, size: Sequence[Any], *sizes: Any) -> Tensor:
    return torch.empty(size, dtype=grad.dtype, device=grad.device, memory_format=_CHANNELS_LAST)


def _fake_weight(
    grad: Tensor, x: Tensor, weight: Tensor, bias: bool, *sizes: Any
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), weight.new_empty(weight.shape[0] if bias else 0)


def _save_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *sizes = inputs
    ctx.save_for_backward(x, weight)
    ctx.bias, ctx.sizes = bias is not None, sizes


def _forward_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    gx, gw, gb = _gradients(ctx, grad, torch.ops.striate)
    return gx, gw, gb, *[None] * len(ctx.sizes)


def _gradients(ctx: Any, grad: Tensor, operators: Any) -> tuple[Tensor | None, ...]:
    """Gradients of x, weight and bias, as far as they are needed."""
    x, weight = ctx.saved_tensors
    gx = gw = gb = None
    if ctx.needs_input_grad[0]:
        gx = operators.convolution_data(grad, weight, x.shape, *ctx.sizes)
    bias = ctx.bias and ctx.needs_input_grad[2]
    if ctx.needs_input_grad[1] or bias:
        gw, gb = operators.convolution_weight(grad, x, weight, bias, *ctx.sizes)
    return gx, gw, gb if bias else None


class _Direct:
    """The operators' functions under their names, without torch's dispatch."""

    convolution_data = staticmethod(_data)
    convolution_weight = staticmethod(_weight)


class _Eager(torch.autograd.Function):
    """The operator for plain eager calls."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, sizes: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bias, ctx.sizes = bias is not None, sizes
        return _forward(x, weight, bias, *sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Gradients of gradients need operators that autograd knows.
        operators = torch.ops.striate if torch.is_grad_enabled() else _Direct
        return *_gradients(ctx, grad, operators), None


def _save_data(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, weight, _, *sizes = inputs
    ctx.save_for_backward(grad, weight)
    ctx.sizes = sizes


def _data_gradients(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of a gradient: the data's is linear in both, by torch's own operators."""
    grad, weight = ctx.saved_tensors
    ggrad = _by_torch(v, weight, None, ctx.sizes)
    gw = _torch_backward(grad, v, weight, ctx.sizes, (False, True, False))[1]
    return ggrad, gw, None, *[None] * len(ctx.sizes)


def _save_weight(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    grad, x, weight, bias, *sizes = inputs
    ctx.save_for_backward(grad, x, weight)
    ctx.bias, ctx.sizes = bias, sizes


def _weight_gradients(ctx: Any, u: Tensor, ub: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of a gradient: the weight's is linear in the output's gradient and in x."""
    grad, x, _ = ctx.saved_tensors
    ggrad = _by_torch(x, u, ub if ctx.bias else None, ctx.sizes)
    gx = _torch_backward(grad, x, u, ctx.sizes, (True, False, False))[0]
    return ggrad, gx, None, None, *[None] * len(ctx.sizes)


register("convolution", _forward, _fake_forward, _forward_gradients, _save_forward, float32=True)
register("convolution_data", _data, _fake_data, _data_gradients, _save_data)
register("convolution_weight", _weight, _fake_weight, _weight_gradients, _save_weight)
