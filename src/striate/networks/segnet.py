"""SegNet: scores for each pixel; the decoder unpools with the encoder's indices.

Badrinarayanan, Kendall, Cipolla (2017): SegNet: A Deep Convolutional Encoder-Decoder
Architecture for Image Segmentation. The encoder is the 13 convolutions of VGG-16, the decoder
their mirror; where the encoder pooled, it keeps the positions of the maxima, and the decoder puts
its values back there. Every convolution is 3×3 with batch normalisation and ReLU. For
3 × 360 × 480 (CamVid):

| stage     | encoder                 | decoder (from below)      | shape           |
|-----------|-------------------------|---------------------------|-----------------|
| 0         | 2 conv of 64, pool      | unpool, conv of 64, head  | 64 × 360 × 480  |
| 1         | 2 conv of 128, pool     | unpool, conv of 128, 64   | 128 × 180 × 240 |
| 2         | 3 conv of 256, pool     | unpool, conv of 256, 256, 128 | 256 × 90 × 120 |
| 3         | 3 conv of 512, pool     | unpool, conv of 512, 512, 256 | 512 × 45 × 60 |
| 4         | 3 conv of 512, pool     | unpool, 3 conv of 512     | 512 × 22 × 30   |
| bottom    |                         |                           | 512 × 11 × 15   |

29,449,355 parameters for K = 11; the paper's table says 29.45 M. The head is the 3×3
convolution that mirrors the first one, without normalisation. Departures: He initialisation
of encoder and decoder (the paper starts its encoder from VGG-16's weights).
"""

from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.layers import conv, max_pool, max_unpool
from striate.networks.shape import check_input, check_ndim
from striate.networks.unit import units


class SegNet(nn.Module):
    """SegNet: scores for each pixel.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        widths: channels of each stage.
        counts: convolutions of each stage.

    Example:
        >>> import torch
        >>> network = SegNet(11, widths=(8, 16), counts=(2, 2))
        >>> network(torch.randn(2, 3, 30, 45)).shape
        torch.Size([2, 11, 30, 45])
    """

    natural_size = 360
    outputs = "map"

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        widths: tuple[int, ...] = (64, 128, 256, 512, 512),
        counts: tuple[int, ...] = (2, 2, 3, 3, 3),
    ) -> None:
        super().__init__()
        check_ndim("segnet", ndim)
        if not widths or len(widths) != len(counts) or min(counts) < 1:
            raise ConfigError(
                f"segnet: widths={widths} and counts={counts} must have one entry per stage, "
                "at least one stage, and counts of 1 or more."
            )
        self.in_channels, self.ndim = in_channels, ndim
        self.smallest = 2 ** len(widths)
        self.pool = max_pool(ndim)(2, return_indices=True)
        self.unpool = max_unpool(ndim)(2)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        above = in_channels
        for index, (width, count) in enumerate(zip(widths, counts, strict=True)):
            self.encoder.append(units((above, *(width,) * count), ndim))
            # the decoder's first stage ends in the head instead of its last convolution
            mirror = (width,) * count if index == 0 else (*(width,) * count, above)
            self.decoder.append(units(mirror, ndim))
            above = width
        self.head = conv(ndim)(widths[0], num_classes, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K *S"]:
        check_input("segnet", x, self.in_channels, self.ndim, smallest=self.smallest)
        pooled = []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape
            x, indices = self.pool(x)  # half the resolution
            pooled.append((indices, size))
        for stage, (indices, size) in zip(reversed(self.decoder), reversed(pooled), strict=True):
            x = stage(self.unpool(x, indices, output_size=size))  # twice the resolution
        scores: Tensor = self.head(x)
        return scores
