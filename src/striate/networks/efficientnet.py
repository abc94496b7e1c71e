"""EfficientNet-Lite: a network for photographs that few multiply-adds suffice for.

Tan and Le (2019): EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
arXiv:1905.11946, table 1; the Lite form is that of its authors' release (2020): no
squeeze-and-excitation, ReLU6 in place of swish, and a stem and a head of fixed width. A block
expands by 1×1, filters each channel by itself (depthwise), and projects by 1×1 without
activation; where stride and width stay, its input is added. For 3 × 224 × 224:

| stage   | layers (times the width of the expansion)    | shape            |
|---------|----------------------------------------------|------------------|
| input   |                                              | 3 × 224 × 224    |
| stem    | 3×3 conv /2                                  | 32 × 112 × 112   |
| 0       | 1 block, 3×3, ×1                             | 16 × 112 × 112   |
| 1, 2    | 2 blocks, 3×3, ×6, the first /2              | 24 × 56 × 56     |
| 3, 4    | 2 blocks, 5×5, ×6, the first /2              | 40 × 28 × 28     |
| 5–7     | 3 blocks, 3×3, ×6, the first /2              | 80 × 14 × 14     |
| 8–10    | 3 blocks, 5×5, ×6                            | 112 × 14 × 14    |
| 11–14   | 4 blocks, 5×5, ×6, the first /2              | 192 × 7 × 7      |
| 15      | 1 block, 3×3, ×6                             | 320 × 7 × 7      |
| last    | 1×1 conv                                     | 1280 × 7 × 7     |
| head    | global average, dropout 1/5, full            | K = 1000         |

4,652,008 parameters (the release says 4.7 million) and 0.39 G multiply-adds (0.407 G there, which
counts additions of the normalisations too). Batch normalisation (epsilon 0.001, momentum 0.01) and
ReLU6 follow each convolution but the projections, which have the normalisation alone.

Where the stride is 2, zeros are added as TensorFlow's "SAME" does: ⌈n/2⌉ positions out of n, and
of an odd number of zeros the greater half at the end. Published weights depend on it.

`width` and `depth` scale the widths and numbers of blocks as the paper's section 3 does; stem, last
layer and the numbers of blocks of the first and last stage stay. The release's Lite1 to Lite4 are
(1, 1.1), (1.1, 1.2), (1.2, 1.4) and (1.4, 1.8), of 5.4, 6.1, 8.2 and 13.0 million parameters.

Departure: the release drops whole blocks at random in training (stochastic depth); this does not.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ConfigError
from striate.layers import adaptive_average_pool, batch_norm, conv, norm_act
from striate.networks.shape import check_input, check_ndim

_STAGES = (
    # blocks, kernel, stride of the first, expansion, width
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LAST = 1280


class Block(nn.Module):
    """An inverted residual: expand, filter each channel, project, add.

    Args:
        num_in: channels of the input.
        num_out: channels of the output.
        kernel: side of the depthwise kernel.
        stride: of the depthwise convolution.
        expansion: multiple of `num_in` in between; 1 leaves the expansion out.
        ndim: number of spatial dimensions.
    """

    def __init__(
        self, num_in: int, num_out: int, kernel: int, stride: int, expansion: int, ndim: int
    ) -> None:
        super().__init__()
        width, self.num_out = num_in * expansion, num_out
        self.is_residual = stride == 1 and num_in == num_out
        self.pad = Same(kernel, stride) if stride > 1 else nn.Identity()
        padding = kernel // 2 if stride == 1 else 0
        depthwise = conv(ndim)(
            width, width, kernel, stride=stride, padding=padding, groups=width, bias=False
        )
        expand = conv(ndim)(num_in, width, 1, bias=False)
        project = conv(ndim)(width, num_out, 1, bias=False)
        self.expand = _with_norm(expand, ndim, active=True) if expansion > 1 else nn.Identity()
        self.depthwise = _with_norm(depthwise, ndim, active=True)
        self.project = _with_norm(project, ndim, active=False)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *T"]:
        y = self.depthwise(self.pad(self.expand(x)))
        conv, norm = self.project
        return norm_act(norm, y, conv=conv, residual=x if self.is_residual else None)


class Same(nn.Module):
    """Zeros around the maps, so that a strided kernel reaches ⌈n/stride⌉ positions of n.

    Args:
        kernel: its side.
        stride: its stride.

    Source: TensorFlow, tf.nn.convolution, padding "SAME".

    Example:
        >>> import torch
        >>> Same(3, 2)(torch.ones(1, 1, 4)).tolist(), Same(3, 2)(torch.ones(1, 1, 3)).tolist()
        ([[[1.0, 1.0, 1.0, 1.0, 0.0]]], [[[0.0, 1.0, 1.0, 1.0, 0.0]]])
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:
        sides: list[int] = []
        for length in reversed(x.shape[2:]):
            covered = (-(-length // self.stride) - 1) * self.stride + self.kernel
            missing = max(0, covered - length)
            sides += [missing // 2, missing - missing // 2]
        return functional.pad(x, sides)


class EfficientNet(nn.Module):
    """EfficientNet-Lite0, or scaled.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        width: multiple of the blocks' widths, which stay multiples of 8.
        depth: multiple of the numbers of blocks.
        dropout: share of the features dropped before the head while training.

    Example:
        >>> import torch
        >>> network = EfficientNet(10)
        >>> network(torch.randn(2, 3, 64, 48)).shape
        torch.Size([2, 10])
    """

    natural_size = 224

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_ndim("efficientnet", ndim)
        if not (width > 0 and depth > 0):
            raise ConfigError(
                f"efficientnet: width={width:g} and depth={depth:g} must be above 0; 1 is Lite0."
            )
        self.in_channels, self.ndim = in_channels, ndim
        self.pad = Same(3, 2)
        self.stem = _with_norm(
            conv(ndim)(in_channels, 32, 3, stride=2, bias=False), ndim, active=True
        )
        blocks, above = [], 32
        for stage, (count, kernel, stride, expansion, channels) in enumerate(_STAGES):
            is_inner = 0 < stage < len(_STAGES) - 1
            here = _of_eight(channels * width)
            for number in range(math.ceil(count * depth) if is_inner else count):
                step = stride if number == 0 else 1
                blocks.append(Block(above, here, kernel, step, expansion, ndim))
                above = here
        self.blocks = nn.Sequential(*blocks)
        self.last = _with_norm(conv(ndim)(above, _LAST, 1, bias=False), ndim, active=True)
        self.average = adaptive_average_pool(ndim)(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(_LAST, num_classes)
        for module in self.modules():
            if isinstance(module, nn.modules.conv._ConvNd):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    @property
    def map_widths(self) -> list[int]:
        """Channels of the maps that `maps` gives."""
        above = [block.num_out for block in self._blocks]
        return [above[number - 1] for number in self._halving] + above[-1:]

    def maps(self, x: Float[Tensor, "B C *S"]) -> list[Float[Tensor, "B M *T"]]:
        """The last maps of each resolution: of a half, a quarter, ... a 32nd of the sides."""
        x = self.stem(self.pad(x))
        found = []
        for number, block in enumerate(self._blocks):
            if number in self._halving:
                found.append(x)
            x = block(x)
        return [*found, x]

    @property
    def _halving(self) -> list[int]:
        """Numbers of the blocks that halve the resolution."""
        return [n for n, block in enumerate(self._blocks) if isinstance(block.pad, Same)]

    @property
    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def check_images(self, x: Float[Tensor, "B C *S"]) -> None:
        """Raise `ShapeError` for images that this network cannot take; it takes any size."""
        check_input("efficientnet", x, self.in_channels, self.ndim, smallest=1)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        self.check_images(x)
        x = self.stem(self.pad(x))  # B×C×224×224 -> B×32×112×112
        x = self.last(self.blocks(x))  # -> B×1280×7×7
        x = self.dropout(self.average(x).flatten(1))
        scores: Tensor = self.head(x)
        return scores


def _of_eight(channels: float) -> int:
    """The multiple of 8 next to a width, not less than nine tenths of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _with_norm(layer: nn.Module, ndim: int, *, active: bool) -> nn.Sequential:
    """A convolution, batch normalisation, and ReLU6 where it is active."""
    norm = batch_norm(ndim)(layer.out_channels, eps=1e-3, momentum=0.01)
    return nn.Sequential(layer, norm, *([nn.ReLU6()] if active else []))
