"""SqueezeNet 1.0: AlexNet's accuracy with a fiftieth of its parameters.

Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer (2016): SqueezeNet, arXiv:1602.07360,
table 1. A fire module squeezes with 1×1 convolutions, then expands with 1×1 and 3×3 side by
side. For 3 × 224 × 224:

| stage   | layers (squeeze, expand 1×1, expand 3×3)      | shape          |
|---------|-----------------------------------------------|----------------|
| input   |                                               | 3 × 224 × 224  |
| conv1   | 7×7 conv /2, ReLU, 3×3 max pool /2            | 96 × 54 × 54   |
| fire2   | 16, 64, 64                                    | 128 × 54 × 54  |
| fire3   | 16, 64, 64                                    | 128 × 54 × 54  |
| fire4   | 32, 128, 128, then 3×3 max pool /2            | 256 × 27 × 27  |
| fire5   | 32, 128, 128                                  | 256 × 27 × 27  |
| fire6   | 48, 192, 192                                  | 384 × 27 × 27  |
| fire7   | 48, 192, 192                                  | 384 × 27 × 27  |
| fire8   | 64, 256, 256, then 3×3 max pool /2            | 512 × 13 × 13  |
| fire9   | 64, 256, 256, then dropout 1/2                | 512 × 13 × 13  |
| head    | 1×1 conv (the paper's conv10), global average | K = 1000       |

1,248,424 parameters as in the paper; 0.82 G multiply-adds. The paper's table gives conv1 as
111 × 111 maps, which its own layers give from 227 pixels (or from 224 padded by 2); at 224
without padding they are 109, here as in torchvision. Max pools round up.

Departure: the published networks clip the head's maps at zero (`final_relu=True`), and a class
whose map is nowhere positive has no gradient and never learns; the default leaves the ReLU out.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import adaptive_average_pool, conv, max_pool
from striate.networks.shape import check_input, check_ndim

_SMALLEST = 21


class Fire(nn.Module):
    """1×1 convolutions to `squeeze` channels, then 1×1 and 3×3 side by side to `expand` each."""

    def __init__(self, num_in: int, squeeze: int, expand: int, ndim: int) -> None:
        super().__init__()
        self.squeeze = conv(ndim)(num_in, squeeze, 1)
        self.expand1 = conv(ndim)(squeeze, expand, 1)
        self.expand3 = conv(ndim)(squeeze, expand, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *S"]:
        x = self.relu(self.squeeze(x))
        y: Tensor = self.relu(torch.cat((self.expand1(x), self.expand3(x)), dim=1))
        return y


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        dropout: share of the features dropped before the head while training.
        final_relu: clip the head's maps at zero, as the published weights expect.

    Example:
        >>> network = SqueezeNet(10)
        >>> network(torch.randn(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    natural_size = 224

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        dropout: float = 0.5,
        final_relu: bool = False,
    ) -> None:
        super().__init__()
        check_ndim("squeezenet", ndim)
        self.in_channels, self.ndim = in_channels, ndim
        pool = max_pool(ndim)
        self.conv1 = conv(ndim)(in_channels, 96, 7, stride=2)
        self.relu = nn.ReLU()
        self.pool1 = pool(3, stride=2, ceil_mode=True)
        self.fire2 = Fire(96, 16, 64, ndim)
        self.fire3 = Fire(128, 16, 64, ndim)
        self.fire4 = Fire(128, 32, 128, ndim)
        self.pool4 = pool(3, stride=2, ceil_mode=True)
        self.fire5 = Fire(256, 32, 128, ndim)
        self.fire6 = Fire(256, 48, 192, ndim)
        self.fire7 = Fire(384, 48, 192, ndim)
        self.fire8 = Fire(384, 64, 256, ndim)
        self.pool8 = pool(3, stride=2, ceil_mode=True)
        self.fire9 = Fire(512, 64, 256, ndim)
        self.dropout = nn.Dropout(dropout)
        self.head = conv(ndim)(512, num_classes, 1)
        self.clip = nn.ReLU() if final_relu else nn.Identity()
        self.average = adaptive_average_pool(ndim)(1)
        for module in self.modules():
            if isinstance(module, nn.modules.conv._ConvNd):
                if module is self.head:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("squeezenet", x, self.in_channels, self.ndim, smallest=_SMALLEST)
        x = self.pool1(self.relu(self.conv1(x)))  # B×C×224×224 -> B×96×54×54
        x = self.pool4(self.fire4(self.fire3(self.fire2(x))))  # -> B×256×27×27
        x = self.pool8(self.fire8(self.fire7(self.fire6(self.fire5(x)))))  # -> B×512×13×13
        x = self.dropout(self.fire9(x))
        x = self.clip(self.head(x))  # -> B×K×13×13
        scores: Tensor = self.average(x).flatten(1)
        return scores
