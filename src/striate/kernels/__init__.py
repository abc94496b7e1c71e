"""Native CPU operators: C++ behind a plain C interface, for what torch does slowly on CPUs.

Everything works without them: where no library was built, and on devices and number types that
they do not know, the same functions call torch's own operators; `convolution_norm_act` alone, whose
work two others do as well, gives None.
"""

from striate.kernels.library import available, isa, say_on_bus_error, why_not
from striate.kernels.operators.activation import activate
from striate.kernels.operators.batch import augmented_batch
from striate.kernels.operators.convolution import convolution
from striate.kernels.operators.dropout import dropout
from striate.kernels.operators.geometry import Geometry
from striate.kernels.operators.inference import convolution_norm_act
from striate.kernels.operators.linear import linear
from striate.kernels.operators.methods import candidates, default_methods
from striate.kernels.operators.norm import batch_norm_act, norm_act
from striate.kernels.operators.pooling import max_pool2d

__all__ = [
    "Geometry",
    "activate",
    "augmented_batch",
    "available",
    "batch_norm_act",
    "candidates",
    "convolution",
    "convolution_norm_act",
    "default_methods",
    "dropout",
    "isa",
    "linear",
    "max_pool2d",
    "norm_act",
    "say_on_bus_error",
    "why_not",
]
