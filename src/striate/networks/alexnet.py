"""AlexNet, the two towers of 2012: the network that began it.

Krizhevsky, Sutskever, Hinton (2012): ImageNet Classification with Deep Convolutional Neural
Networks. Figure 2, for 3 × 224 × 224; a group of a convolution is one tower (one GPU):

| stage | layers                                        | shape         | parameters |
|-------|-----------------------------------------------|---------------|------------|
| input |                                               | 3 × 224 × 224 |            |
| conv1 | 11×11 /4, ReLU, LRN, 3×3 max pool /2          | 96 × 27 × 27  | 34,944     |
| conv2 | 5×5 in 2 groups, ReLU, LRN, 3×3 max pool /2   | 256 × 13 × 13 | 307,456    |
| conv3 | 3×3 over both towers, ReLU                    | 384 × 13 × 13 | 885,120    |
| conv4 | 3×3 in 2 groups, ReLU                         | 384 × 13 × 13 | 663,936    |
| conv5 | 3×3 in 2 groups, ReLU, 3×3 max pool /2        | 256 × 6 × 6   | 442,624    |
| fc6   | dropout 1/2, full, ReLU                       | 4096          | 37,752,832 |
| fc7   | dropout 1/2, full, ReLU                       | 4096          | 16,781,312 |
| head  | full                                          | K = 1000      | 4,097,000  |

60,965,224 parameters (the paper: 60 million), 724,406,816 multiply-adds. Weights begin at
N(0, 0.01²); biases of conv2, conv4, conv5, fc6 and fc7 at one, as the paper has it.

Departures: conv1 is padded by 2, which makes 224 pixels give the 55 × 55 maps that the paper
draws (Caffe crops 227 instead). The maps before fc6 are averaged onto the 6 × 6 grid that it
reads, which changes nothing at 224 and lets other sizes in, from 63 pixels.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import adaptive_average_pool, conv, max_pool
from striate.networks.shape import check_input, check_ndim

_GRID = 6
_SMALLEST = 63


def _response_norm() -> nn.Module:
    # Section 3.3: k = 2, n = 5, α = 1e-4, β = 0.75; torch divides its alpha by n.
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2)


class AlexNet(nn.Module):
    """AlexNet with two towers and local response normalisation.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        hidden: width of fc6 and fc7.
        dropout: share of units dropped before fc6 and fc7 while training.

    Example:
        >>> import torch
        >>> network = AlexNet(10, hidden=128)
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
        check_ndim("alexnet", ndim)
        self.in_channels, self.ndim = in_channels, ndim
        layer, pool = conv(ndim), max_pool(ndim)
        self.conv1 = layer(in_channels, 96, 11, stride=4, padding=2)
        self.conv2 = layer(96, 256, 5, padding=2, groups=2)
        self.conv3 = layer(256, 384, 3, padding=1)
        self.conv4 = layer(384, 384, 3, padding=1, groups=2)
        self.conv5 = layer(384, 256, 3, padding=1, groups=2)
        self.relu = nn.ReLU()
        self.norm1, self.norm2 = _response_norm(), _response_norm()
        self.pool1, self.pool2, self.pool5 = (pool(3, stride=2) for _ in range(3))
        self.grid = adaptive_average_pool(ndim)(_GRID)
        self.dropout = nn.Dropout(dropout)
        self.fc6 = nn.Linear(256 * _GRID**ndim, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, num_classes)
        for name, module in self.named_children():
            if isinstance(module, (type(self.conv1), nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                begins_at_one = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
                nn.init.constant_(module.bias, 1.0 if begins_at_one else 0.0)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("alexnet", x, self.in_channels, self.ndim, smallest=_SMALLEST)
        x = self.pool1(self.norm1(self.relu(self.conv1(x))))  # B×C×224×224 -> B×96×27×27
        x = self.pool2(self.norm2(self.relu(self.conv2(x))))  # -> B×256×13×13
        x = self.relu(self.conv3(x))  # -> B×384×13×13
        x = self.relu(self.conv4(x))
        x = self.pool5(self.relu(self.conv5(x)))  # -> B×256×6×6
        x = self.grid(x).flatten(1)
        x = self.relu(self.fc6(self.dropout(x)))  # -> B×hidden
        x = self.relu(self.fc7(self.dropout(x)))
        scores: Tensor = self.head(x)
        return scores
