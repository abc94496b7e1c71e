"""Networks: one paper, one file.

Each takes `(num_classes, in_channels, *, ndim, ...)` and B×C×*S images, and gives B×K scores;
SegNet and U-Net (`outputs = "map"`) give B×K×*S. The last layer is called `head`. A network with
auxiliary heads gives a tuple while training and has an `auxiliary_weight`; one whose first
layer is set from data has `initialise_from(images)`.
"""

from torch import nn

from striate.networks.airbench import Airbench
from striate.networks.alexnet import AlexNet
from striate.networks.alexnet_owt import AlexNetOWT
from striate.networks.densenet import DenseNet
from striate.networks.efficientnet import EfficientNet
from striate.networks.efficientnet_unet import EfficientNetUNet
from striate.networks.googlenet import GoogLeNet
from striate.networks.head import freeze_features, replace_head, unfreeze_features
from striate.networks.lenet5 import LeNet5
from striate.networks.linear import Linear
from striate.networks.perceptron import Perceptron
from striate.networks.pretrained import load_pretrained
from striate.networks.resnet import ResNet
from striate.networks.segnet import SegNet
from striate.networks.simplenet import SimpleNet
from striate.networks.squeezenet import SqueezeNet
from striate.networks.unet import UNet
from striate.networks.vgg import VGG
from striate.networks.weight import PRETRAINED, Preparation, Weights
from striate.registry import Registry

__all__ = [
    "NETWORKS",
    "PRETRAINED",
    "VGG",
    "Airbench",
    "AlexNet",
    "AlexNetOWT",
    "DenseNet",
    "EfficientNet",
    "EfficientNetUNet",
    "GoogLeNet",
    "LeNet5",
    "Linear",
    "Perceptron",
    "Preparation",
    "ResNet",
    "SegNet",
    "SimpleNet",
    "SqueezeNet",
    "UNet",
    "Weights",
    "freeze_features",
    "load_pretrained",
    "replace_head",
    "unfreeze_features",
]

NETWORKS: Registry[nn.Module] = Registry(
    "network",
    {
        "linear": Linear,
        "mlp": Perceptron,
        "simplenet": SimpleNet,
        "lenet5": LeNet5,
        "alexnet": AlexNet,
        "alexnet_owt": AlexNetOWT,
        "googlenet": GoogLeNet,
        "vgg": VGG,
        "resnet": ResNet,
        "densenet": DenseNet,
        "squeezenet": SqueezeNet,
        "efficientnet": EfficientNet,
        "airbench": Airbench,
        "segnet": SegNet,
        "unet": UNet,
        "efficientnet_unet": EfficientNetUNet,
    },
)
"""Network names and their constructors."""
