"""U-Net whose encoder is EfficientNet-Lite: scores for each pixel, on features of photographs.

The decoder of Ronneberger, Fischer, Brox (2015), figure 1 (see `unet`), on the maps of
EfficientNet-Lite0 (Tan and Le 2019; see `efficientnet`) at each resolution. For 3 × 224 × 224 and a
width of 24:

| stage  | encoder          | decoder                                  |
|--------|------------------|------------------------------------------|
| /2     | 16 × 112 × 112   | 24, 24 × 112 × 112; head K × 224 × 224   |
| /4     | 24 × 56 × 56     | 48, 48 × 56 × 56                         |
| /8     | 40 × 28 × 28     | 96, 96 × 28 × 28                         |
| /16    | 112 × 14 × 14    | 192, 192 × 14 × 14                       |
| /32    | 320 × 7 × 7      |                                          |

Each stage of the decoder doubles the resolution by a transposed 2×2 convolution, puts the encoder's
maps beside, and convolves twice by 3×3 with batch normalisation and ReLU; the head is a transposed
2×2 convolution to the resolution of the image. Lengths that are no multiple of 32 are rounded up on
the way down and cut on the way up.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.layers import transposed_conv
from striate.networks.efficientnet import EfficientNet
from striate.networks.shape import check_input, check_ndim
from striate.networks.unit import units


class EfficientNetUNet(nn.Module):
    """U-Net on EfficientNet-Lite.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        width: channels of the decoder's last stage, doubled at each one before.
        backbone_width: multiple of the widths of EfficientNet's blocks.
        backbone_depth: multiple of their numbers.

    Example:
        >>> network = EfficientNetUNet(5, width=8)
        >>> network(torch.randn(2, 3, 64, 75)).shape
        torch.Size([2, 5, 64, 75])
    """

    natural_size = 224
    outputs = "map"
    backbone_of = "efficientnet"
    """Network whose published weights fill `backbone`."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        width: int = 24,
        backbone_width: float = 1.0,
        backbone_depth: float = 1.0,
    ) -> None:
        super().__init__()
        check_ndim("efficientnet_unet", ndim)
        if width < 2:
            raise ConfigError(f"efficientnet_unet: width={width} must be 2 or more.")
        self.in_channels, self.ndim = in_channels, ndim
        self.backbone = EfficientNet(
            1, in_channels, ndim=ndim, width=backbone_width, depth=backbone_depth
        )
        for unused in ("last", "head"):
            setattr(self.backbone, unused, nn.Identity())
        *beside, above = self.backbone.map_widths
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for stage, kept in reversed(list(enumerate(beside))):
            here = width * 2**stage
            self.up.append(transposed_conv(ndim)(above, here, 2, stride=2))
            self.decoder.append(units((here + kept, here, here), ndim, padding=1))
            above = here
        self.head = transposed_conv(ndim)(above, num_classes, 2, stride=2)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K *S"]:
        check_input("efficientnet_unet", x, self.in_channels, self.ndim, smallest=1)
        size = x.shape[2:]
        *maps, x = self.backbone.maps(x)
        for up, stage, beside in zip(self.up, self.decoder, reversed(maps), strict=True):
            x = _cut(up(x), beside.shape[2:])  # twice the resolution
            x = stage(torch.cat((beside, x), dim=1))
        return _cut(self.head(x), size)


def _cut(x: Tensor, size: torch.Size) -> Tensor:
    """The first positions of maps that were rounded up on the way down."""
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x
