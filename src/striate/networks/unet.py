"""U-Net: scores for each pixel or voxel; the decoder reads the encoder's maps again.

2-D: Ronneberger, Fischer, Brox (2015): U-Net: Convolutional Networks for Biomedical Image
Segmentation, figure 1. 3-D: Çiçek, Abdulkadir, Lienkamp, Brox, Ronneberger (2016): 3D U-Net,
figure 2. With `padded=False`, the papers' form:

| stage  | 2-D encoder     | 2-D decoder         | 3-D encoder         | 3-D decoder           |
|--------|-----------------|---------------------|---------------------|-----------------------|
| input  | 1 × 572²        | K × 388²            | 3 × 132² × 116      | K × 44² × 28          |
| 0      | 64, 64 × 568²   | 64, 64 × 388²       | 32, 64 × 128² × 112 | 64, 64 × 44² × 28     |
| 1      | 128, 128 × 280² | 128, 128 × 196²     | 64, 128 × 60² × 52  | 128, 128 × 24² × 16   |
| 2      | 256, 256 × 136² | 256, 256 × 100²     | 128, 256 × 26² × 22 | 256, 256 × 14² × 10   |
| 3      | 512, 512 × 64²  | 512, 512 × 52²      |                     |                       |
| bottom | 1024, 1024 × 28² |                    | 256, 512 × 9² × 7   |                       |

A number is the width of one 3×3 convolution and its ReLU; the encoder pools by 2×2; the decoder
doubles the resolution by a transposed 2×2 convolution, puts the encoder's maps (their centre)
beside, and convolves twice; the head is a 1×1 convolution. 23 layers with weights in 2-D, as
the paper says; 31,030,658 parameters there for K = 2 and one channel in (the paper gives none).
In 3-D the resolution is doubled without halving the width, and batch normalisation stands
before each ReLU. The 3-D paper says 19,069,955 parameters for K = 3; here there are 19,075,523:
the paper leaves out batch normalisation's 4,672 and the transposed convolutions' 896 biases.

Departures: `padded=True`, the default, pads the convolutions, so that the output has the
input's size; an odd length loses a pixel to pooling and gets a zero at its end on the way up.
Batch normalisation is on by default in 2-D, too. `stem=2` computes at half the resolution: a
convolution with stride 2 precedes the network, and the head is a transposed one that doubles the
resolution, so that a network of twice the width takes the same time.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ConfigError
from striate.layers import conv, max_pool, transposed_conv
from striate.networks.shape import check_input, check_ndim
from striate.networks.unit import units


class UNet(nn.Module):
    """U-Net: scores for each pixel (ndim=2) or voxel (ndim=3).

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        depth: number of poolings; None: 4 in 2-D (and 1-D), 3 in 3-D, as the papers.
        width: channels of the last convolution of stage 0, doubled at each stage.
        batch_norm: normalise before each ReLU.
        padded: pad the convolutions, so that the output has the input's size.
        stem: stride of the first convolution, which the head makes good.

    Example:
        >>> network = UNet(2, 1, depth=2, width=8)
        >>> network(torch.randn(2, 1, 30, 45)).shape
        torch.Size([2, 2, 30, 45])
        >>> UNet(2, 1, width=4, padded=False)(torch.randn(1, 1, 572, 572)).shape
        torch.Size([1, 2, 388, 388])
    """

    natural_size = 572
    outputs = "map"

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        depth: int | None = None,
        width: int = 64,
        batch_norm: bool = True,
        padded: bool = True,
        stem: int = 1,
    ) -> None:
        super().__init__()
        check_ndim("unet", ndim)
        depth = (3 if ndim == 3 else 4) if depth is None else depth
        if depth < 1 or width < 2:
            raise ConfigError(f"unet: depth={depth} must be 1 or more and width={width} 2 or more.")
        if stem < 1:
            raise ConfigError(f"unet: stem={stem} must be 1 or more: a stride in pixels.")
        self.in_channels, self.ndim, self.padded = in_channels, ndim, padded
        unit = partial(units, ndim=ndim, normalise=batch_norm, padding=1 if padded else 0)
        self.smallest = stem * (2**depth if padded else _smallest_unpadded(depth))
        self.pool = max_pool(ndim)(2)
        self.encoder, self.decoder, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        above = width if stem > 1 else in_channels
        self.stem = conv(ndim)(in_channels, above, stem, stride=stem) if stem > 1 else nn.Identity()
        for stage in range(depth + 1):
            here = width * 2**stage
            # the 3-D paper doubles the width in the second convolution, the 2-D one in the first
            first = here // 2 if ndim == 3 else here
            self.encoder.append(unit((above, first, here)))
            above = here
        for stage in reversed(range(depth)):
            here = width * 2**stage
            kept = above if ndim == 3 else here
            self.up.append(transposed_conv(ndim)(above, kept, 2, stride=2))
            self.decoder.append(unit((kept + here, here, here)))
            above = here
        head = transposed_conv(ndim) if stem > 1 else conv(ndim)
        self.head = head(above, num_classes, stem, stride=stem)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K *O"]:
        check_input("unet", x, self.in_channels, self.ndim, smallest=self.smallest)
        size, maps = x.shape[2:], []
        x = self.stem(x)
        for stage in self.encoder[:-1]:
            x = stage(x)
            maps.append(x)
            x = self.pool(x)  # half the resolution
        x = self.encoder[-1](x)
        for up, stage, beside in zip(self.up, self.decoder, reversed(maps), strict=True):
            x = up(x)  # twice the resolution
            x = stage(torch.cat(self._meet(beside, x), dim=1))
        scores: Tensor = self.head(x)
        return _padded(scores, size) if self.padded else scores

    def _meet(self, beside: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's maps and the decoder's, brought to one size."""
        if self.padded:
            return beside, _padded(x, beside.shape[2:])
        for axis in range(2, x.ndim):
            extra = beside.shape[axis] - x.shape[axis]
            beside = beside.narrow(axis, extra // 2, x.shape[axis])
        return beside, x


def _padded(x: Tensor, size: torch.Size) -> Tensor:
    """Maps with zeros for the last pixels, which pooling or the stem dropped of an odd length."""
    missing = [length - own for length, own in zip(size, x.shape[2:], strict=True)]
    ends = [side for few in reversed(missing) for side in (0, few)]
    return functional.pad(x, ends) if any(missing) else x


def _smallest_unpadded(depth: int) -> int:
    """The least input that leaves the bottom, and every stage of the decoder, one pixel."""
    size = 1  # of the output: each stage of the decoder takes 4 from twice the one below
    for _ in range(depth):
        size = -(-(size + 4) // 2)
    size += 4
    for _ in range(depth):
        size = 2 * size + 4
    return size
