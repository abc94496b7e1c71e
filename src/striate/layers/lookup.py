"""torch's own layers by number of spatial dimensions: `conv(3)` is `torch.nn.Conv3d`.

A network written once for D = 1, 2 and 3 asks here for the class and then constructs it with
torch's own arguments: `conv(ndim)(in_channels, out_channels, kernel_size=3, padding=1)`.
"""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from striate.layers.window import check_ndim

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "batch_norm",
    "conv",
    "instance_norm",
    "max_pool",
    "max_unpool",
    "spatial_dropout",
    "transposed_conv",
]

M = TypeVar("M")


def by_ndim(ndim: int, one: M, two: M, three: M) -> M:
    """The entry for 1, 2 or 3 spatial dimensions.

    Raises:
        ConfigError: another number of dimensions.
    """
    check_ndim(ndim)
    return (one, two, three)[ndim - 1]


def conv(ndim: int) -> Callable[..., nn.modules.conv._ConvNd]:
    """`nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`: shared weights slid over the input.

    Example:
        >>> conv(2)(3, 8, kernel_size=5, stride=2, padding=2)
        Conv2d(3, 8, kernel_size=(5, 5), stride=(2, 2), padding=(2, 2))
    """
    return by_ndim(ndim, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def transposed_conv(ndim: int) -> Callable[..., nn.modules.conv._ConvTransposeNd]:
    """`nn.ConvTranspose1d/2d/3d`: the adjoint of a convolution ("deconvolution")."""
    return by_ndim(ndim, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def max_pool(ndim: int) -> Callable[..., nn.modules.pooling._MaxPoolNd]:
    """`nn.MaxPool1d/2d/3d`: the largest value of each window; `return_indices` for unpooling."""
    return by_ndim(ndim, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def max_unpool(ndim: int) -> Callable[..., nn.modules.pooling._MaxUnpoolNd]:
    """`nn.MaxUnpool1d/2d/3d`: each maximum back at its position, zeros elsewhere."""
    return by_ndim(ndim, nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d)


def average_pool(ndim: int) -> Callable[..., nn.modules.pooling._AvgPoolNd]:
    """`nn.AvgPool1d/2d/3d`: the mean of each window."""
    return by_ndim(ndim, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def adaptive_max_pool(ndim: int) -> Callable[..., nn.modules.pooling._AdaptiveMaxPoolNd]:
    """`nn.AdaptiveMaxPool1d/2d/3d`: maxima on a grid of a chosen size; size 1 is global."""
    return by_ndim(ndim, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)


def adaptive_average_pool(ndim: int) -> Callable[..., nn.modules.pooling._AdaptiveAvgPoolNd]:
    """`nn.AdaptiveAvgPool1d/2d/3d`: means on a grid of a chosen size; size 1 is global."""
    return by_ndim(ndim, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


def batch_norm(ndim: int) -> Callable[..., nn.modules.batchnorm._BatchNorm]:
    """`nn.BatchNorm1d/2d/3d`: each channel to mean 0 and variance 1 over batch and space."""
    return by_ndim(ndim, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def instance_norm(ndim: int) -> Callable[..., nn.modules.instancenorm._InstanceNorm]:
    """`nn.InstanceNorm1d/2d/3d`: each channel of each item to mean 0 and variance 1."""
    return by_ndim(ndim, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def spatial_dropout(ndim: int) -> Callable[..., nn.modules.dropout._DropoutNd]:
    """`nn.Dropout1d/2d/3d`: whole feature maps set to zero (Tompson et al., 2015)."""
    return by_ndim(ndim, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
