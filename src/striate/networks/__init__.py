"""Networks: one paper, one file.

Each takes `(num_classes, in_channels, *, ndim, ...)`, B×C×*S images, and gives B×K scores.
The last layer is called `head`.
"""

from torch import nn

from striate.networks.airbench import Airbench
from striate.networks.lenet5 import LeNet5
from striate.networks.linear import Linear
from striate.networks.perceptron import Perceptron
from striate.networks.resnet import ResNet
from striate.registry import Registry

__all__ = ["NETWORKS", "Airbench", "LeNet5", "Linear", "Perceptron", "ResNet"]

NETWORKS: Registry[nn.Module] = Registry(
    "network",
    {
        "linear": Linear,
        "mlp": Perceptron,
        "lenet5": LeNet5,
        "resnet": ResNet,
        "airbench": Airbench,
    },
)
"""Network names and their constructors."""
