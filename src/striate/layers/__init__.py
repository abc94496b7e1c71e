"""Layers for one, two and three spatial dimensions: look-ups to torch's, and what torch lacks.

`LAYERS` lists them by name, `ACTIVATIONS` the activations; `striate.layers.geometry` says what
size they put out, what they cost and what they see.
"""

from striate.layers.activation import (
    ACTIVATIONS,
    Maxout,
    RectifiedSigmoid,
    RectifiedTanh,
    activation,
)
from striate.layers.contrast import LocalContrastNorm, LocalResponseNorm
from striate.layers.dropout import Dropout, StochasticDepth, dropout, stochastic_depth
from striate.layers.l2_pool import L2FeaturePool, L2Pool
from striate.layers.locally_connected import LocallyConnected
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
from striate.layers.matrix import append_one, im2col, matrix_convolution, merge_bias
from striate.layers.norm import ChannelNorm
from striate.layers.recurrent import GRUCell, LSTMCell, RecurrentCell, SimpleRNNCell, unroll
from striate.layers.table import LAYERS

__all__ = [
    "ACTIVATIONS",
    "LAYERS",
    "ChannelNorm",
    "Dropout",
    "GRUCell",
    "L2FeaturePool",
    "L2Pool",
    "LSTMCell",
    "LocalContrastNorm",
    "LocalResponseNorm",
    "LocallyConnected",
    "Maxout",
    "RectifiedSigmoid",
    "RectifiedTanh",
    "RecurrentCell",
    "SimpleRNNCell",
    "StochasticDepth",
    "activation",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "append_one",
    "average_pool",
    "batch_norm",
    "conv",
    "dropout",
    "im2col",
    "instance_norm",
    "matrix_convolution",
    "max_pool",
    "max_unpool",
    "merge_bias",
    "spatial_dropout",
    "stochastic_depth",
    "transposed_conv",
    "unroll",
]
