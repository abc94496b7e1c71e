"""VGG: nothing but 3×3 convolutions, and many of them.

Simonyan, Zisserman (2015): Very Deep Convolutional Networks for Large-Scale Image
Recognition, table 1, configurations A, B, D and E. For 3 × 224 × 224:

| stage | shape after its 2×2 max pool | convolutions at depth 11, 13, 16, 19 |
|-------|------------------------------|--------------------------------------|
| input | 3 × 224 × 224                |                                      |
| 0     | 64 × 112 × 112               | 1, 2, 2, 2                           |
| 1     | 128 × 56 × 56                | 1, 2, 2, 2                           |
| 2     | 256 × 28 × 28                | 2, 2, 3, 4                           |
| 3     | 512 × 14 × 14                | 2, 2, 3, 4                           |
| 4     | 512 × 7 × 7                  | 2, 2, 3, 4                           |
| fc6   | full, ReLU, dropout 1/2: 4096 |                                     |
| fc7   | full, ReLU, dropout 1/2: 4096 |                                     |
| head  | full: K = 1000               |                                      |

| depth          | 11          | 13          | 16          | 19          |
|----------------|-------------|-------------|-------------|-------------|
| parameters     | 132,863,336 | 133,047,848 | 138,357,544 | 143,667,240 |
| with batch_norm | 132,868,840 | 133,053,736 | 138,365,992 | 143,678,248 |
| multiply-adds  | 7.61 G      | 11.31 G     | 15.47 G     | 19.63 G     |

Departures: `batch_norm=True` (the default: without it these depths hardly start to learn;
the paper grew them from shallower ones) puts batch normalisation before each ReLU; He
initialisation; other sizes than 224, from 32 pixels, are averaged onto the 7 × 7 grid that
fc6 reads.
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import adaptive_average_pool, batch_norm, conv, max_pool
from striate.networks.shape import check_choice, check_input, check_ndim

_WIDTHS = (64, 128, 256, 512, 512)
_COUNTS: dict[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_GRID = 7
_SMALLEST = 32


class VGG(nn.Module):
    """VGG-11, 13, 16 or 19, with or without batch normalisation.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        depth: 11, 13, 16 or 19 layers with weights.
        batch_norm: normalise before each ReLU of the convolutions.
        hidden: width of fc6 and fc7.
        dropout: share of units dropped after fc6 and fc7 while training.

    Example:
        >>> import torch
        >>> network = VGG(10, depth=11, hidden=64)
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
        depth: int = 16,
        batch_norm: bool = True,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_ndim("vgg", ndim)
        check_choice("vgg", "depth", depth, tuple(_COUNTS))
        self.in_channels, self.ndim = in_channels, ndim
        layers: list[nn.Module] = []
        num_in = in_channels
        for width, count in zip(_WIDTHS, _COUNTS[depth], strict=True):
            for _ in range(count):
                layers += _unit(num_in, width, ndim, batch_norm)
                num_in = width
            layers.append(max_pool(ndim)(2))
        self.features = nn.Sequential(*layers)
        self.grid = adaptive_average_pool(ndim)(_GRID)
        self.fc6 = nn.Linear(num_in * _GRID**ndim, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, num_classes)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        for full in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(full.weight)
            nn.init.zeros_(full.bias)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("vgg", x, self.in_channels, self.ndim, smallest=_SMALLEST)
        x = self.grid(self.features(x)).flatten(1)  # B×C×224×224 -> B×512·7·7
        x = self.dropout(self.relu(self.fc6(x)))  # -> B×hidden
        x = self.dropout(self.relu(self.fc7(x)))
        scores: Tensor = self.head(x)
        return scores


def _unit(num_in: int, num_out: int, ndim: int, normalise: bool) -> list[nn.Module]:
    """A 3×3 convolution, perhaps batch normalisation, ReLU."""
    layer = conv(ndim)(num_in, num_out, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    layer.bias = nn.Parameter(layer.weight.new_zeros(num_out))
    norm = [batch_norm(ndim)(num_out)] if normalise else []
    return [layer, *norm, nn.ReLU()]
