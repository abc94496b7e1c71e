"""A convolution, its normalisation by known statistics, a residual and an activation, in one pass.

In inference nothing needs to be kept for a gradient: each piece of a convolution's output is
normalised, summed and activated while it lies in the cache.
"""

import ctypes
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.kernels.operators import native
from striate.kernels.operators.activation import NUMBERS, require_activation
from striate.kernels.operators.methods import fitting

MOST_ADDED = 1_500_000
"""Values of a residual above which two passes are faster: it comes from memory piece by piece."""


class _Epilogue(ctypes.Structure):
    """The fields of `Epilogue` in native/epilogue.hpp."""

    _fields_ = (
        ("mean", native.POINTER),
        ("variance", native.POINTER),
        ("weight", native.POINTER),
        ("bias", native.POINTER),
        ("residual", native.POINTER),
        ("eps", native.DOUBLE),
        ("activation", native.SIZE),
    )


def convolution_norm_act(
    x: Float[Tensor, "*B C H W"],
    weight: Float[Tensor, "K C_g R S"],
    bias: Float[Tensor, " K"] | None,
    sizes: tuple[Any, ...],
    norm: nn.modules.batchnorm._BatchNorm,
    activation: str = "none",
    residual: Float[Tensor, "*any"] | None = None,
) -> Float[Tensor, "N K H_out W_out"] | None:
    """`batch_norm_act(norm, convolution(x, weight, bias, *sizes), activation, residual)`.

    The output is that of the two operators, to the bit.

    Args:
        x: Images.
        weight: Kernel.
        bias: Numbers added to the channels of the convolution.
        sizes: Stride, padding, dilation, groups, methods of `convolution`.
        norm: Layer with mode, statistics and parameters.
        activation: Name as in `norm_act`.
        residual: Values of the output's shape, added before the activation.

    Returns:
        The output with its channels last, or None where it takes more than one pass: where a
        gradient may be wanted, the batch has its own statistics, torch computes the convolution or
        the shapes are others. `convolution` and `norm_act` know what to do then.

    Raises:
        ConfigError: an activation that does not exist.

    Example:
        >>> conv, norm = nn.Conv2d(16, 24, 3), nn.BatchNorm2d(24).eval()
        >>> sizes = ((1, 1), (0, 0), (1, 1), 1, "torch,torch,torch")
        >>> convolution_norm_act(torch.randn(2, 16, 7, 9), conv.weight, None, sizes, norm) is None
        True
    """
    require_activation(activation, "norm_act")
    mean, variance = norm.running_mean, norm.running_var
    if norm.training or mean is None or variance is None or torch.is_grad_enabled():
        return None
    fits = native.runs_natively(x, weight)
    chosen = fitting("forward", x.shape, weight, sizes) if fits else None
    if chosen is None:
        return None
    geometry, method = chosen
    channels = (bias, mean, variance, norm.weight, norm.bias)
    if not all(native.per_channel(values, geometry.weight[0]) for values in channels):
        return None
    if residual is not None:
        fits = residual.shape == geometry.output and native.float32_on_cpu(residual)
        if not fits or residual.numel() > MOST_ADDED:
            return None
    # Each name holds what its address points at until the call is over.
    bias, *others = [None if values is None else values.contiguous() for values in channels]
    residual = None if residual is None else native.channels_last(residual)
    pointers = map(native.pointer, (*others, residual))
    epilogue = _Epilogue(*pointers, norm.eps, NUMBERS[activation])
    return method.forward(native.channels_last(x), weight, bias, geometry, ctypes.byref(epilogue))
