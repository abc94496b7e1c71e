"""The measured networks in plain PyTorch, as an ordinary person writes them.

Every PyTorch peer trains these; so does Striate, whose execution layer takes any module.
"""

import itertools

import torch
from cases import CASES, LITE0
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["build"]


def build(name: str) -> nn.Module:
    """A network with fresh weights."""
    case = CASES[name]
    made: nn.Module = {
        "lenet": LeNet5,
        "vgg": VggLike,
        "resnet20": ResNet20,
        "resnet18": ResNet18,
        "wide": Wide,
        "alexnet": AlexNet,
        "lite0-128": Lite0,
        "lite0-224": Lite0,
        "unet": UNet,
    }[name](case.classes)
    return made


class LeNet5(nn.Sequential):
    """LeCun et al. (1998) in today's form, for 1 × 28 × 28."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )


class VggLike(nn.Sequential):
    """Two 3×3 convolutions a stage, each with batch normalisation, after Simonyan & Zisserman."""

    def __init__(self, classes: int) -> None:
        layers: list[nn.Module] = []
        num_in = 3
        for width in (32, 64, 128):
            for _ in range(2):
                layers += [
                    nn.Conv2d(num_in, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                num_in = width
            layers.append(nn.MaxPool2d(2))
        super().__init__(*layers, nn.Flatten(), nn.Linear(128 * 16, classes))


def _conv3(num_in: int, num_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(num_in, num_out, 3, stride=stride, padding=1, bias=False)


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut: option A (padded) or B (1×1 convolution)."""

    def __init__(self, num_in: int, num_out: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv0, self.norm0 = _conv3(num_in, num_out, stride), nn.BatchNorm2d(num_out)
        self.conv1, self.norm1 = _conv3(num_out, num_out), nn.BatchNorm2d(num_out)
        self.new = num_out - num_in
        self.stride = stride
        self.shortcut: nn.Module | None = None
        if self.new and option == "B":
            self.shortcut = nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, stride=stride, bias=False), nn.BatchNorm2d(num_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm0(self.conv0(x)))
        y = self.norm1(self.conv1(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.new:
            picked = x[:, :, :: self.stride, :: self.stride]
            x = functional.pad(picked, (0, 0, 0, 0, self.new // 2, self.new // 2))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """He et al. (2016): a 3×3 stem and stages of basic blocks, each stage at half the size."""

    def __init__(self, widths: tuple[int, ...], blocks: int, option: str, classes: int) -> None:
        super().__init__()
        self.conv, self.norm = _conv3(3, widths[0]), nn.BatchNorm2d(widths[0])
        stages: list[nn.Module] = []
        num_in = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                stages.append(Block(num_in, width, 2 if stage and not block else 1, option))
                num_in = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(num_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        scores: Tensor = self.head(self.pool(self.stages(x)).flatten(1))
        return scores


class ResNet20(ResNet):
    """The CIFAR form of depth 20."""

    def __init__(self, classes: int) -> None:
        super().__init__((16, 32, 64), 3, "A", classes)


class ResNet18(ResNet):
    """Depth 18 for 32×32: the ImageNet form's stages behind a 3×3 stem without pooling."""

    def __init__(self, classes: int) -> None:
        super().__init__((64, 128, 256, 512), 2, "B", classes)


def _bias_norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


class Wide(nn.Module):
    """Jordan (2024), arXiv:2404.00498: frozen whitening, three stages of two convolutions."""

    def __init__(self, classes: int, widths: tuple[int, ...] = (64, 256, 256)) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        layers: list[nn.Module] = [nn.GELU()]
        num_in = 24
        for width in widths:
            layers += [_conv3(num_in, width), nn.MaxPool2d(2), _bias_norm(width), nn.GELU()]
            layers += [_conv3(width, width), _bias_norm(width), nn.GELU()]
            num_in = width
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(num_in, classes, bias=False)
        for module in self.stages:
            if isinstance(module, nn.Conv2d):
                nn.init.dirac_(module.weight.data[: module.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.whiten(x)).amax((2, 3))
        scores: Tensor = self.head(x) / 9
        return scores


class AlexNet(nn.Sequential):
    """Krizhevsky (2014), arXiv:1404.5997, as commonly built, for 3 × 224 × 224."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(9216, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )


class Inverted(nn.Module):
    """Expand by 1×1, filter each channel by itself, project by 1×1, add where shapes stay."""

    def __init__(self, num_in: int, num_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = num_in * expansion
        expand = _unit6(nn.Conv2d(num_in, width, 1, bias=False)) if expansion > 1 else []
        depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
        project = nn.Conv2d(width, num_out, 1, bias=False)
        self.body = nn.Sequential(*expand, *_unit6(depthwise), project, nn.BatchNorm2d(num_out))
        self.adds = stride == 1 and num_in == num_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.adds else y


def _unit6(conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6()]


class Lite0(nn.Module):
    """Tan and Le (2019), the Lite form of its release."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = _unit6(nn.Conv2d(3, 32, 3, 2, 1, bias=False))
        above = 32
        for count, kernel, stride, expansion, width in LITE0:
            for number in range(count):
                step = stride if number == 0 else 1
                layers.append(Inverted(above, width, kernel, step, expansion))
                above = width
        self.features = nn.Sequential(*layers, *_unit6(nn.Conv2d(above, 1280, 1, bias=False)))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(x).mean((2, 3)))
        return scores


def _units(num_in: int, num_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (num_in, num_out):
        layers += [
            nn.Conv2d(width, num_out, 3, padding=1),
            nn.BatchNorm2d(num_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Ronneberger et al. (2015), padded, with batch normalisation, from width 32."""

    def __init__(self, classes: int, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(depth + 1)]
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([_units(3, width), *(_units(a, b) for a, b in pairs)])
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs[::-1])
        self.join = nn.ModuleList(_units(2 * a, a) for a, _ in pairs[::-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        beside: list[Tensor] = []
        for units in self.down[:-1]:
            x = units(x)
            beside.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat((beside.pop(), up(x)), 1))
        scores: Tensor = self.head(x)
        return scores
