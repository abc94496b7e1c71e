"""SimpleNet: the smallest convolutional network, for recognising scenes.

The first network of an introductory computer vision course (Brown University CS 143 and
Georgia Tech CS 6476, project "Deep Learning for scene recognition", Hays et al.), on 15-Scene
(Lazebnik, Schmid, Ponce 2006) in grey at 64 × 64:

| stage | layers           | shape        | parameters, K = 15 |
|-------|------------------|--------------|--------------------|
| input |                  | 1 × 64 × 64  |                    |
| conv  | 9×9 conv         | 10 × 56 × 56 | 820                |
| pool  | max, 7×7 /7      | 10 × 8 × 8   |                    |
| relu  | ReLU             | 10 × 8 × 8   |                    |
| head  | linear           | K            | 9,615              |

Other sizes: the kernel is 5 below 32 pixels and 3 below 16; the pooling window is the one
that leaves a grid of about 8 per axis. `num_filters` widens it.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import conv, max_pool
from striate.networks.shape import check_input, check_ndim, check_size, full_size

_GRID = 8


class SimpleNet(nn.Module):
    """Convolution, max pooling, ReLU, fully connected.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        input_size: spatial size of the input, pixels; the course's is 64 × 64.
        num_filters: channels of the convolution.
        dropout: share of the features dropped before the head while training.

    Example:
        >>> import torch
        >>> network = SimpleNet(15, 1)
        >>> network(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 15])
    """

    natural_size = 64

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        input_size: tuple[int, ...] | None = None,
        num_filters: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_ndim("simplenet", ndim)
        size = (64,) * ndim if input_size is None else full_size("simplenet", input_size, ndim)
        check_size("simplenet", size, (3,) * ndim)
        self.in_channels, self.ndim, self.input_size = in_channels, ndim, size
        kernel = tuple(9 if length >= 32 else 5 if length >= 16 else 3 for length in size)
        maps = tuple(length - width + 1 for length, width in zip(size, kernel, strict=True))
        window = tuple(max(1, length // _GRID) for length in maps)
        grid = tuple(length // step for length, step in zip(maps, window, strict=True))
        self.conv = conv(ndim)(in_channels, num_filters, kernel)
        self.pool = max_pool(ndim)(window)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_filters * math.prod(grid), num_classes)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("simplenet", x, self.in_channels, self.ndim, size=self.input_size)
        x = self.relu(self.pool(self.conv(x)))  # B×C×*S -> B×num_filters×*grid
        scores: Tensor = self.head(self.dropout(x.flatten(1)))
        return scores
