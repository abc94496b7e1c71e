"""Residual networks: blocks that learn what to add to their input.

He, Zhang, Ren, Sun (2016): Deep Residual Learning for Image Recognition. The depth names
the network, and with it one of the paper's two forms.

ImageNet form, depth 18, 34 (basic blocks), 50, 101, 152 (bottlenecks, ×4 channels), table 1:

| stage   | layers                        | shape              | blocks at 18, 34, 50, 101, 152 |
|---------|-------------------------------|--------------------|--------------------------------|
| input   |                               | 3 × 224 × 224      |                                |
| stem    | 7×7 conv /2, BN, ReLU         | 64 × 112 × 112     |                                |
|         | 3×3 max pool /2               | 64 × 56 × 56       |                                |
| stage 0 | blocks of 64                  | 64 (256) × 56 × 56 | 2, 3, 3, 3, 3                  |
| stage 1 | blocks of 128, first /2       | 128 (512) × 28²    | 2, 4, 4, 4, 8                  |
| stage 2 | blocks of 256, first /2       | 256 (1024) × 14²   | 2, 6, 6, 23, 36                |
| stage 3 | blocks of 512, first /2       | 512 (2048) × 7²    | 2, 3, 3, 3, 3                  |
| head    | global average, linear        | K                  |                                |

CIFAR form, depth 6n + 2 (20, 32, 44, 56, 110 in the paper), section 4.2, 3 × 32 × 32:
3×3 conv to 16, then n basic blocks each of 16 × 32², 32 × 16², 64 × 8²; global average,
linear. Its shortcuts have no parameters (option A): where the shape changes, every second
pixel, and zeros for the channels that are new.

| depth | 20      | 32      | 44      | 56      | 110       |
|-------|---------|---------|---------|---------|-----------|
| parameters, K = 10 | 269,722 | 464,154 | 658,586 | 853,018 | 1,727,962 |

| depth | 18         | 34         | 50         | 101        | 152        |
|-------|------------|------------|------------|------------|------------|
| parameters, K = 1000 | 11,689,512 | 21,797,672 | 25,557,032 | 44,549,160 | 60,192,808 |

Departures: a bottleneck halves the resolution in its 3×3 convolution, not in its first 1×1
(torchvision, "v1.5"; same parameters, more arithmetic: 4.09 G multiply-adds at depth 50 where
the paper has 3.8); `stride_in_1x1=True` gives the paper's. ImageNet shortcuts are the paper's
option B (a 1×1 convolution where the shape changes).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ConfigError
from striate.layers import adaptive_average_pool, batch_norm, conv, max_pool, norm_act
from striate.networks.shape import check_input, check_ndim

_IMAGENET: dict[int, tuple[Literal["basic", "bottleneck"], tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


def _conv(num_in: int, num_out: int, kernel: int, ndim: int, stride: int = 1) -> nn.Module:
    layer = conv(ndim)(num_in, num_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class PaddedShortcut(nn.Module):
    """Option A: every second pixel; channels that are new are zeros on both sides."""

    def __init__(self, num_in: int, num_out: int, ndim: int, stride: int) -> None:
        super().__init__()
        new = num_out - num_in
        self.pad = (0, 0) * ndim + (new // 2, new - new // 2)
        self.picked = (slice(None), slice(None), *[slice(None, None, stride)] * ndim)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *O"]:
        return functional.pad(x[self.picked], self.pad)


def _shortcut(num_in: int, num_out: int, ndim: int, stride: int, option: str) -> nn.Module:
    if num_in == num_out and stride == 1:
        return nn.Identity()
    if option == "A":
        return PaddedShortcut(num_in, num_out, ndim, stride)
    return nn.Sequential(_conv(num_in, num_out, 1, ndim, stride), batch_norm(ndim)(num_out))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(
        self, num_in: int, width: int, ndim: int, stride: int, option: Literal["A", "B"]
    ) -> None:
        super().__init__()
        self.conv0 = _conv(num_in, width, 3, ndim, stride)
        self.norm0 = batch_norm(ndim)(width)
        self.conv1 = _conv(width, width, 3, ndim)
        self.norm1 = batch_norm(ndim)(width)
        self.shortcut = _shortcut(num_in, width, ndim, stride, option)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *O"]:
        y = norm_act(self.norm0, x, functional.relu, conv=self.conv0)
        shortcut = self.shortcut(x)
        return norm_act(self.norm1, y, functional.relu, conv=self.conv1, residual=shortcut)


class Bottleneck(nn.Module):
    """1×1 down to `width`, 3×3, 1×1 up to 4 `width`, and a shortcut."""

    def __init__(
        self, num_in: int, width: int, ndim: int, stride: int, *, stride_in_1x1: bool
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        num_out = 4 * width
        self.conv0 = _conv(num_in, width, 1, ndim, first)
        self.norm0 = batch_norm(ndim)(width)
        self.conv1 = _conv(width, width, 3, ndim, second)
        self.norm1 = batch_norm(ndim)(width)
        self.conv2 = _conv(width, num_out, 1, ndim)
        self.norm2 = batch_norm(ndim)(num_out)
        self.shortcut = _shortcut(num_in, num_out, ndim, stride, "B")

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *O"]:
        y = norm_act(self.norm0, x, functional.relu, conv=self.conv0)
        y = norm_act(self.norm1, y, functional.relu, conv=self.conv1)
        shortcut = self.shortcut(x)
        return norm_act(self.norm2, y, functional.relu, conv=self.conv2, residual=shortcut)


class ResNet(nn.Module):
    """Residual network of a depth: CIFAR form for 6n + 2, ImageNet form for 18 to 152.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        depth: 18, 34, 50, 101, 152, or 6n + 2 (8, 14, 20, 26, 32, 44, 56, 110, ...).
        width: channels of the first stage; 16 in the CIFAR form and 64 in ImageNet's.
        stride_in_1x1: bottlenecks reduce the resolution where the paper has it (see above).

    Example:
        >>> import torch
        >>> network = ResNet(10, depth=20)
        >>> network(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> sum(p.numel() for p in network.parameters())
        269722
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        depth: int = 20,
        width: int | None = None,
        stride_in_1x1: bool = False,
    ) -> None:
        super().__init__()
        check_ndim("resnet", ndim)
        self.in_channels, self.ndim = in_channels, ndim
        if depth in _IMAGENET:
            kind, counts = _IMAGENET[depth]
            width = width or 64
            stem = _conv(in_channels, width, 7, ndim, 2)
            pool: nn.Module = max_pool(ndim)(3, stride=2, padding=1)
        elif depth >= 8 and depth % 6 == 2:
            kind, counts = "basic", ((depth - 2) // 6,) * 3
            width = width or 16
            stem = _conv(in_channels, width, 3, ndim)
            pool = nn.Identity()
        else:
            raise ConfigError(
                f"resnet: depth={depth} does not exist; accepted: {', '.join(map(str, _IMAGENET))} "
                "(ImageNet form) and 6n + 2 from 8: 8, 14, 20, 26, 32, 44, 56, 110 (CIFAR form)."
            )
        self.stem = nn.Sequential(stem, batch_norm(ndim)(width), nn.ReLU(), pool)
        expansion = 1 if kind == "basic" else 4
        block: Callable[..., nn.Module] = partial(Bottleneck, stride_in_1x1=stride_in_1x1)
        if kind == "basic":
            block = partial(BasicBlock, option="B" if depth in _IMAGENET else "A")
        self.stages = nn.Sequential()
        num_in = width
        for index, count in enumerate(counts):
            stage = nn.Sequential()
            for position in range(count):
                stride = 2 if index > 0 and position == 0 else 1
                stage.append(block(num_in, width * 2**index, ndim, stride))
                num_in = width * 2**index * expansion
            self.stages.append(stage)
        self.pool = adaptive_average_pool(ndim)(1)
        self.head = nn.Linear(num_in, num_classes)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("resnet", x, self.in_channels, self.ndim)
        x = self.stages(self.stem(x))  # B×C×*S -> CIFAR B×64×*S/4, ImageNet B×512·e×*S/32
        scores: Tensor = self.head(self.pool(x).flatten(1))
        return scores
