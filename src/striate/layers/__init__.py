"""Layers for one, two and three spatial dimensions: look-ups to torch's, and what torch lacks."""

from striate.layers.lookup import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    batch_norm,
    conv,
    instance_norm,
    max_pool,
    max_unpool,
    spatial_dropout,
    transposed_conv,
)

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
