"""LeNet-5: convolutions and subsampling for handwritten digits.

LeCun, Bottou, Bengio, Haffner (1998): Gradient-Based Learning Applied to Document
Recognition, section II.B and figure 2. For one channel of 32 × 32:

| stage | layers                 | shape        | original: parameters | connections |
|-------|------------------------|--------------|----------------------|-------------|
| input |                        | 1 × 32 × 32  |                      |             |
| C1    | 5×5 conv               | 6 × 28 × 28  | 156                  | 122,304     |
| S2    | 2×2 subsampling        | 6 × 14 × 14  | 12                   | 5,880       |
| C3    | 5×5 conv               | 16 × 10 × 10 | 1,516                | 151,600     |
| S4    | 2×2 subsampling        | 16 × 5 × 5   | 32                   | 2,000       |
| C5    | full                   | 120          | 48,120               | 48,120      |
| F6    | full                   | 84           | 10,164               | 10,164      |
| head  |                        | K = 10       | 0                    |             |

`original=True` is the paper's network: 60,000 trained parameters, as it says. It says
340,908 connections; its own layers add up to 340,068, two digits exchanged. Subsampling is
a mean with a trained coefficient and bias per map; C3 reads the subsets of its table I;
units are 1.7159 tanh(2a/3) (appendix A); the head scores a class by minus the squared
distance of F6 to the class's fixed code. Two departures in it: the codes are random ±1, which
the paper allows, where it drew stylised characters; the subsampling's a unit is not squashed
twice.

The default is the form in use since: ReLU, max pooling, C3 reads all maps, a linear head;
61,706 parameters. It trains faster and errs less.

Other sizes: below 32, C1 is padded by 2 (28 × 28 then gives the maps above); below 16, C3
too. `input_size` decides, per axis; 4 is the least.
"""

import math
from collections import OrderedDict
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import average_pool, conv, max_pool
from striate.networks.shape import check_input, check_ndim, check_size, full_size

# Table I: which maps of S2 each map of C3 reads: all runs of three and of four neighbours
# (cyclic), three broken fours, all six.
_TABLE = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
    tuple(range(6)),
)


class ScaledTanh(nn.Module):
    """1.7159 tanh(2a/3): gain one at ±1, so that targets of ±1 lie off its flat ends."""

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """A mean over 2×2 windows, times a trained coefficient, plus a trained bias, per map."""

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.pool = average_pool(ndim)(2)
        self.weight = nn.Parameter(torch.ones(channels, *[1] * ndim))
        self.bias = nn.Parameter(torch.zeros(channels, *[1] * ndim))

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *O"]:
        return cast(Tensor, self.pool(x) * self.weight + self.bias)


class TableConv(nn.Module):
    """C3: one small convolution per map, over the maps that the table names."""

    def __init__(self, ndim: int, padding: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(conv(ndim)(len(read), 1, 5, padding=padding) for read in _TABLE)

    def forward(self, x: Float[Tensor, "B 6 *S"]) -> Float[Tensor, "B 16 *O"]:
        maps = zip(self.maps, _TABLE, strict=True)
        return torch.cat([layer(x[:, list(read)]) for layer, read in maps], dim=1)


class CodeDistance(nn.Module):
    """The original's output layer: minus the squared distance to each class's fixed ±1 code."""

    codes: Tensor

    def __init__(self, num_inputs: int, num_classes: int) -> None:
        super().__init__()
        codes = torch.randint(0, 2, (num_classes, num_inputs)) * 2.0 - 1.0
        self.register_buffer("codes", codes)

    def forward(self, x: Float[Tensor, "B M"]) -> Float[Tensor, "B K"]:
        return -(x[:, None] - self.codes).square().sum(dim=2)


class LeNet5(nn.Module):
    """LeNet-5, in today's form or the original's.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        input_size: spatial size of the input, pixels; the paper's is 32 × 32.
        original: the network of 1998 to the letter (see above).

    Example:
        >>> network = LeNet5(10, 1, input_size=(28, 28))
        >>> network(torch.randn(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        input_size: tuple[int, ...] | None = None,
        original: bool = False,
    ) -> None:
        super().__init__()
        check_ndim("lenet5", ndim)
        size = (32,) * ndim if input_size is None else full_size("lenet5", input_size, ndim)
        check_size("lenet5", size, (4,) * ndim)
        self.in_channels, self.ndim, self.input_size = in_channels, ndim, size
        pad1 = tuple(2 if length < 32 else 0 for length in size)
        pad3 = tuple(2 if length < 16 else 0 for length in size)
        after1 = tuple((length + 2 * pad - 4) // 2 for length, pad in zip(size, pad1, strict=True))
        maps = tuple((length + 2 * pad - 4) // 2 for length, pad in zip(after1, pad3, strict=True))

        squash = ScaledTanh if original else nn.ReLU

        def pool(channels: int) -> nn.Module:
            return Subsampling(channels, ndim) if original else max_pool(ndim)(2)

        layers: dict[str, nn.Module] = {
            "c1": conv(ndim)(in_channels, 6, 5, padding=pad1),
            "squash1": squash(),
            "s2": pool(6),  # 6 × after1
            "c3": TableConv(ndim, pad3) if original else conv(ndim)(6, 16, 5, padding=pad3),
            "squash3": squash(),
            "s4": pool(16),  # 16 × maps
            "flatten": nn.Flatten(),
            "c5": nn.Linear(16 * math.prod(maps), 120),
            "squash5": squash(),
            "f6": nn.Linear(120, 84),
            "squash6": squash(),
        }
        self.features = nn.Sequential(OrderedDict(layers))
        self.head = CodeDistance(84, num_classes) if original else nn.Linear(84, num_classes)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("lenet5", x, self.in_channels, self.ndim, size=self.input_size)
        scores: Tensor = self.head(self.features(x))
        return scores
