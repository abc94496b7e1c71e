"""The table of layers: each name gives, for a number of spatial dimensions, a constructor."""

import functools
from collections.abc import Callable

from torch import nn

from striate.layers import lookup
from striate.layers.contrast import LocalContrastNorm, LocalResponseNorm
from striate.layers.dropout import Dropout, StochasticDepth
from striate.layers.l2_pool import L2FeaturePool, L2Pool
from striate.layers.locally_connected import LocallyConnected
from striate.layers.norm import ChannelNorm
from striate.registry import Registry

__all__ = ["LAYERS"]

Constructor = Callable[..., nn.Module]


def _with_ndim(constructor: Constructor, ndim: int) -> Constructor:
    return lookup.by_ndim(ndim, *(functools.partial(constructor, ndim=d) for d in (1, 2, 3)))


def locally_connected(ndim: int) -> Constructor:
    """`LocallyConnected`: a convolution without weight sharing."""
    return _with_ndim(LocallyConnected, ndim)


def l2_pool(ndim: int) -> Constructor:
    """`L2Pool`: the length of the values in each window."""
    return _with_ndim(L2Pool, ndim)


def local_contrast_norm(ndim: int) -> Constructor:
    """`LocalContrastNorm`: local mean removed, local deviation divided out."""
    return _with_ndim(LocalContrastNorm, ndim)


def _for_any(constructor: Constructor, says: str) -> Callable[[int], Constructor]:
    """A layer that is the same for every number of dimensions, behind the same door."""

    def choose(ndim: int) -> Constructor:
        return lookup.by_ndim(ndim, constructor, constructor, constructor)

    choose.__doc__ = says
    return choose


LAYERS: Registry[Constructor] = Registry(
    "layer",
    {
        "conv": lookup.conv,
        "transposed_conv": lookup.transposed_conv,
        "locally_connected": locally_connected,
        "max_pool": lookup.max_pool,
        "max_unpool": lookup.max_unpool,
        "average_pool": lookup.average_pool,
        "adaptive_max_pool": lookup.adaptive_max_pool,
        "adaptive_average_pool": lookup.adaptive_average_pool,
        "l2_pool": l2_pool,
        "l2_feature_pool": _for_any(L2FeaturePool, "`L2FeaturePool`: length over maps."),
        "batch_norm": lookup.batch_norm,
        "instance_norm": lookup.instance_norm,
        "group_norm": _for_any(nn.GroupNorm, "`nn.GroupNorm`: groups of channels to variance 1."),
        "channel_norm": _for_any(ChannelNorm, "`ChannelNorm`: each position over its channels."),
        "local_contrast_norm": local_contrast_norm,
        "local_response_norm": _for_any(
            LocalResponseNorm, "`LocalResponseNorm`: AlexNet's, over neighbouring maps."
        ),
        "dropout": _for_any(Dropout, "`Dropout`: single values set to zero, fast on a CPU."),
        "spatial_dropout": lookup.spatial_dropout,
        "stochastic_depth": _for_any(StochasticDepth, "`StochasticDepth`: whole items skipped."),
    },
)
"""`LAYERS["conv"](3)` is `torch.nn.Conv3d`."""
