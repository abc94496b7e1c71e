"""Densely connected networks: each layer reads all the maps made before it in its block.

Huang, Liu, van der Maaten, Weinberger (2017): Densely Connected Convolutional Networks.

ImageNet form (DenseNet-BC), depth 121, 169, 201 with growth k = 32, table 1, 3 × 224 × 224:

| stage        | layers                                    | shape              | 121, 169, 201 |
|--------------|-------------------------------------------|--------------------|---------------|
| stem         | 7×7 conv /2, BN, ReLU, 3×3 max pool /2    | 2k × 56 × 56       |               |
| block 0      | [BN, ReLU, 1×1 to 4k, BN, ReLU, 3×3 to k] | 256 × 56 × 56      | 6, 6, 6       |
| transition 0 | BN, ReLU, 1×1 conv, 2×2 average pool      | 128 × 28 × 28      |               |
| block 1      | as block 0, then a transition             | 512, 256 × 14 × 14 | 12, 12, 12    |
| block 2      | as block 0, then a transition             | at 121: 512 × 7 × 7 | 24, 32, 48   |
| block 3      | as block 0                                | at 121: 1024 × 7 × 7 | 16, 32, 32  |
| head         | BN, ReLU, global average, linear          | K                  |               |

Parameters, K = 1000: 7,978,856, 14,149,480 and 20,013,928; multiply-adds 2.83, 3.36, 4.29 G.

CIFAR form, any other depth, section 4.2: 3×3 convolution, three blocks of n layers at 32², 16²
and 8²; n = (depth - 4)/3 plain, (depth - 4)/6 with bottlenecks. `bottleneck=False,
compression=1` is the plain DenseNet, which begins with 16 maps; DenseNet-BC, the default,
with 2k. K = 10, table 2 (it rounds to 0.1 M):

| network               | depth, k | parameters | paper  |
|-----------------------|----------|------------|--------|
| DenseNet              | 40, 12   | 1,019,722  | 1.0 M  |
| DenseNet              | 100, 12  | 6,979,642  | 7.0 M  |
| DenseNet              | 100, 24  | 27,249,082 | 27.2 M |
| DenseNet-BC           | 100, 12  | 769,162    | 0.8 M  |
| DenseNet-BC           | 250, 24  | 15,324,406 | 15.3 M |
| DenseNet-BC           | 190, 40  | 25,624,430 | 25.6 M |
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.layers import adaptive_average_pool, average_pool, batch_norm, conv, max_pool, norm_act
from striate.networks.shape import check_input, check_ndim

_IMAGENET: dict[int, tuple[int, ...]] = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}


def _conv(num_in: int, num_out: int, kernel: int, ndim: int, stride: int = 1) -> nn.Module:
    layer = conv(ndim)(num_in, num_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


class DenseLayer(nn.Module):
    """BN, ReLU, 1×1 to 4k (with a bottleneck), BN, ReLU, 3×3 to k; input and output together."""

    def __init__(
        self, num_in: int, growth: int, ndim: int, bottleneck: bool, dropout: float
    ) -> None:
        super().__init__()
        width = 4 * growth if bottleneck else num_in
        self.reduce = (
            nn.Sequential(batch_norm(ndim)(num_in), nn.ReLU(), _conv(num_in, width, 1, ndim))
            if bottleneck
            else nn.Identity()
        )
        self.grow = nn.Sequential(
            batch_norm(ndim)(width), nn.ReLU(), _conv(width, growth, 3, ndim), nn.Dropout(dropout)
        )

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *S"]:
        return torch.cat((x, self.grow(self.reduce(x))), dim=1)  # M = C + k


class DenseNet(nn.Module):
    """DenseNet: ImageNet form for depth 121, 169 and 201, CIFAR form for all others.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        depth: 121, 169, 201, or 3n + 4 (6n + 4 with bottlenecks) for the CIFAR form.
        growth: k, the maps that each layer adds; None: 32 in the ImageNet form, 12 in CIFAR's.
        bottleneck: a 1×1 convolution to 4k maps before each 3×3.
        compression: share of the maps that a transition keeps.
        dropout: share of activations dropped after each 3×3 while training.

    Example:
        >>> network = DenseNet(10, depth=40)
        >>> network(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    natural_size = 224

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        depth: int = 121,
        growth: int | None = None,
        bottleneck: bool = True,
        compression: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_ndim("densenet", ndim)
        if not 0 < compression <= 1:
            raise ConfigError(f"densenet: compression={compression} must be above 0, at most 1.")
        self.in_channels, self.ndim = in_channels, ndim
        counts = _counts(depth, bottleneck)
        growth = growth or (32 if depth in _IMAGENET else 12)
        self.smallest = 29 if depth in _IMAGENET else 4
        if depth in _IMAGENET:
            width = 2 * growth
            self.stem = nn.Sequential(
                _conv(in_channels, width, 7, ndim, stride=2),
                batch_norm(ndim)(width),
                nn.ReLU(),
                max_pool(ndim)(3, stride=2, padding=1),
            )
        else:
            width = 2 * growth if bottleneck and compression < 1 else 16
            self.stem = nn.Sequential(_conv(in_channels, width, 3, ndim))
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for index, count in enumerate(counts):
            layers = [
                DenseLayer(width + i * growth, growth, ndim, bottleneck, dropout)
                for i in range(count)
            ]
            self.blocks.append(nn.Sequential(*layers))
            width += count * growth
            if index + 1 < len(counts):
                kept = int(width * compression)
                self.transitions.append(_transition(width, kept, ndim))
                width = kept
        self.norm = batch_norm(ndim)(width)
        self.relu = nn.ReLU()
        self.pool = adaptive_average_pool(ndim)(1)
        self.head = nn.Linear(width, num_classes)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("densenet", x, self.in_channels, self.ndim, smallest=self.smallest)
        x = self.blocks[0](self.stem(x))
        for transition, block in zip(self.transitions, self.blocks[1:], strict=True):
            x = block(transition(x))  # half the resolution, more maps
        x = self.pool(norm_act(self.norm, x, self.relu)).flatten(1)
        scores: Tensor = self.head(x)
        return scores


def _transition(num_in: int, num_out: int, ndim: int) -> nn.Sequential:
    return nn.Sequential(
        batch_norm(ndim)(num_in), nn.ReLU(), _conv(num_in, num_out, 1, ndim), average_pool(ndim)(2)
    )


def _counts(depth: int, bottleneck: bool) -> tuple[int, ...]:
    """Layers of each block."""
    if depth in _IMAGENET and bottleneck:
        return _IMAGENET[depth]
    step = 6 if bottleneck else 3
    if depth <= 4 or (depth - 4) % step:
        raise ConfigError(
            f"densenet: depth={depth} does not exist with bottleneck={bottleneck}; accepted: "
            f"{', '.join(map(str, _IMAGENET))} (ImageNet form, with bottleneck) and {step}n + 4: "
            "40, 100, 190, 250 (CIFAR form)."
        )
    return ((depth - 4) // step,) * 3
