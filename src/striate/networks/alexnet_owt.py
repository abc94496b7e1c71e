"""AlexNet-OWT: AlexNet in one tower, the form for training on many devices.

Krizhevsky (2014): One weird trick for parallelizing convolutional neural networks,
arXiv:1404.5997, footnote 1: one tower, no response normalisation, fewer filters. The trick
itself is to split the convolutions by data and the full layers by model, which this network
allows: `features` is the one half, fc6 to head the other. For 3 × 224 × 224:

| stage    | layers                                   | shape         | parameters |
|----------|------------------------------------------|---------------|------------|
| input    |                                          | 3 × 224 × 224 |            |
| features | 11×11 conv /4, ReLU, 3×3 max pool /2     | 64 × 27 × 27  | 23,296     |
|          | 5×5 conv, ReLU, 3×3 max pool /2          | 192 × 13 × 13 | 307,392    |
|          | 3×3 conv, ReLU                           | 384 × 13 × 13 | 663,936    |
|          | 3×3 conv, ReLU                           | 256 × 13 × 13 | 884,992    |
|          | 3×3 conv, ReLU, 3×3 max pool /2          | 256 × 6 × 6   | 590,080    |
| fc6      | dropout 1/2, full, ReLU                  | 4096          | 37,752,832 |
| fc7      | dropout 1/2, full, ReLU                  | 4096          | 16,781,312 |
| head     | full                                     | K = 1000      | 4,097,000  |

61,100,840 parameters and 0.714 G multiply-adds, as torchvision's `alexnet`, whose weights it
loads. Departures: the paper's fourth convolution has 384 filters, torchvision's 256; sizes
other than 224, from 63 pixels, are averaged onto the 6 × 6 grid that fc6 reads; weights
begin as He et al. (2015) propose, because ReLU networks of this depth stall at N(0, 0.01²).
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import adaptive_average_pool, conv, max_pool
from striate.networks.shape import check_input, check_ndim

_GRID = 6
_SMALLEST = 63


class AlexNetOWT(nn.Module):
    """AlexNet in one tower without response normalisation.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        hidden: width of fc6 and fc7.
        dropout: share of units dropped before fc6 and fc7 while training.

    Example:
        >>> import torch
        >>> network = AlexNetOWT(10, hidden=128)
        >>> network(torch.randn(2, 3, 96, 96)).shape
        torch.Size([2, 10])
    """

    natural_size = 224

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_ndim("alexnet_owt", ndim)
        self.in_channels, self.ndim = in_channels, ndim
        layer, pool = conv(ndim), max_pool(ndim)
        self.features = nn.Sequential(
            layer(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            pool(3, stride=2),  # 64 × 27 × 27
            layer(64, 192, 5, padding=2),
            nn.ReLU(),
            pool(3, stride=2),  # 192 × 13 × 13
            layer(192, 384, 3, padding=1),
            nn.ReLU(),
            layer(384, 256, 3, padding=1),
            nn.ReLU(),
            layer(256, 256, 3, padding=1),
            nn.ReLU(),
            pool(3, stride=2),  # 256 × 6 × 6
        )
        self.grid = adaptive_average_pool(ndim)(_GRID)
        self.dropout = nn.Dropout(dropout)
        self.relu = nn.ReLU()
        self.fc6 = nn.Linear(256 * _GRID**ndim, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, num_classes)
        for module in (*self.features, self.fc6, self.fc7):
            if getattr(module, "weight", None) is not None:
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("alexnet_owt", x, self.in_channels, self.ndim, smallest=_SMALLEST)
        x = self.grid(self.features(x)).flatten(1)  # B×C×224×224 -> B×256·6·6
        x = self.relu(self.fc6(self.dropout(x)))  # -> B×hidden
        x = self.relu(self.fc7(self.dropout(x)))
        scores: Tensor = self.head(x)
        return scores
