"""The airbench network: as much CIFAR-10 accuracy as a few seconds can buy.

Jordan (2024): 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498.
Stages for 32 × 32 colour images with the paper's widths (64, 256, 256):

| stage   | layers                                                     | shape        |
|---------|------------------------------------------------------------|--------------|
| input   |                                                            | 3 × 32 × 32  |
| whiten  | 2×2 convolution, frozen at the patches' whitening; GELU    | 24 × 31 × 31 |
| stage 0 | 3×3 conv, max pool 2, BN, GELU, 3×3 conv, BN, GELU         | 64 × 15 × 15 |
| stage 1 | the same                                                   | 256 × 7 × 7  |
| stage 2 | the same                                                   | 256 × 3 × 3  |
| pool    | global maximum                                             | 256          |
| head    | linear without bias, times 1/9                             | K            |

1,972,792 parameters for K = 10, of which 1,971,352 are trained; the paper says 1.97 million.

- The whitening convolution holds the eigenvectors of the covariance of the training
  patches, each divided by the root of its eigenvalue, and their negatives. It is set by
  `initialise_from(images)` and never trained; its bias is. Until then it holds an
  orthonormal basis, which has the same shape and no knowledge of the data.
- All other convolutions begin as partial identities (Dirac kernels in the first filters).
- Batch normalisation has a bias and no weight; its running averages keep 0.6 of the past.

Departures, none of which changes the network above: any number of stages, any number of
input channels and spatial dimensions; the last pooling is global, where the paper's is a
window of 3 that covers its 3 × 3 maps; it may take the mean, which sums up what an image holds
where the maximum only finds it; an axis that is down to one pixel is pooled no
further when `input_size` says so, so that 8 × 8 images pass three stages.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError, DataError
from striate.layers import (
    adaptive_average_pool,
    adaptive_max_pool,
    batch_norm,
    conv,
    max_pool,
    norm_act,
)
from striate.networks.shape import check_input, check_ndim, check_size, full_size

# The patches' covariance is of normalised images, about one on its diagonal: eps bounds the
# gain of the faintest directions at 1/sqrt(5e-4) = 45 (paper, listing of the network).
_WHITENING_EPS = 5e-4
# Paper: momentum 0.6, in torch's convention the share of the new batch, 1 - 0.6.
_BN_MOMENTUM = 0.4
_BN_EPS = 1e-12
_SCALE = 1 / 9
# Patches whitened at a time: 2**20 of 12 numbers are 50 MB.
_PATCHES = 2**20


class Whitening(nn.Module):
    """A frozen convolution with kernel 2 that decorrelates neighbouring pixels."""

    def __init__(self, in_channels: int, ndim: int) -> None:
        super().__init__()
        self.ndim = ndim
        num_inputs = in_channels * 2**ndim
        self.conv = conv(ndim)(in_channels, 2 * num_inputs, 2)
        self.conv.bias = nn.Parameter(torch.zeros(2 * num_inputs))
        self._set(nn.init.orthogonal_(torch.empty(num_inputs, num_inputs)))
        self.conv.weight.requires_grad_(False)

    @torch.no_grad()
    def _set(self, basis: Tensor) -> None:
        if basis.is_meta:
            return  # there are no values, and torch would import its compiler, a second
        filters = basis.reshape(-1, *self.conv.weight.shape[1:])
        self.conv.weight.copy_(torch.cat((filters, -filters)))

    @torch.no_grad()
    def initialise_from(self, images: Tensor) -> None:
        """Set the filters from patches: eigenvectors over roots of eigenvalues, and negatives."""
        num_patches = math.prod(length - 1 for length in images.shape[2:])
        rows = self.conv.weight[0].numel()
        total = torch.zeros(rows, rows, dtype=torch.float64)
        for batch in torch.split(images, max(1, _PATCHES // max(1, num_patches))):
            patches = batch.float()
            for axis in range(2, 2 + self.ndim):
                patches = patches.unfold(axis, 2, 1)  # B×C×*S -> B×C×*(S-1)×2×...
            patches = patches.movedim(1, 1 + self.ndim).reshape(-1, rows)
            total += (patches.T @ patches).cpu().double()
        covariance = total / (len(images) * num_patches)
        if not covariance.isfinite().all():
            raise DataError(
                "airbench: the images that the whitening is computed from hold values that "
                "are not finite; normalise them to mean 0 and deviation 1."
            )
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        basis = eigenvectors / (eigenvalues.clamp(min=0) + _WHITENING_EPS).sqrt()
        self._set(basis.T.flip(0))  # strongest direction first

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *O"]:
        y: Tensor = self.conv(x)
        return y


def _conv(num_in: int, num_out: int, ndim: int) -> nn.Module:
    """A 3×3 convolution without bias whose first filters pass their input on."""
    layer = conv(ndim)(num_in, num_out, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:num_in])
    return layer


def _norm(width: int, ndim: int) -> nn.Module:
    norm = batch_norm(ndim)(width, eps=_BN_EPS, momentum=_BN_MOMENTUM)
    norm.weight.requires_grad_(False)
    return norm


class Stage(nn.Module):
    """conv, max pool, BN, GELU, conv, BN, GELU."""

    def __init__(self, num_in: int, num_out: int, window: tuple[int, ...]) -> None:
        super().__init__()
        ndim = len(window)
        self.conv0 = _conv(num_in, num_out, ndim)
        self.pool = max_pool(ndim)(window)
        self.norm0 = _norm(num_out, ndim)
        self.conv1 = _conv(num_out, num_out, ndim)
        self.norm1 = _norm(num_out, ndim)
        self.activation = nn.GELU()

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *O"]:
        x = norm_act(self.norm0, self.pool(self.conv0(x)), self.activation)
        return norm_act(self.norm1, x, self.activation, conv=self.conv1)


class Airbench(nn.Module):
    """Whitening, stages of two convolutions and a global maximum: fast to train from nothing.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        input_size: spatial size, pixels; needed only below 2^stages + 1, where an axis that is
            down to one pixel is pooled no further.
        widths: channels of each stage.
        pool: of what the head sees: "max" or "mean" over the last maps.

    Example:
        >>> network = Airbench(10, input_size=(32, 32))
        >>> images = torch.randn(8, 3, 32, 32)
        >>> network.initialise_from(images)
        >>> network(images).shape
        torch.Size([8, 10])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        input_size: tuple[int, ...] | None = None,
        widths: tuple[int, ...] = (64, 256, 256),
        pool: str = "max",
    ) -> None:
        super().__init__()
        check_ndim("airbench", ndim)
        if pool not in ("max", "mean"):
            raise ConfigError(f"airbench: pool={pool!r} is unknown; accepted: 'max', 'mean'.")
        if not widths or min(widths) < 1:
            raise ConfigError(f"airbench: widths={widths!r} must be one or more positive widths.")
        self.in_channels, self.ndim = in_channels, ndim
        needed = 2 ** len(widths) + 1  # the whitening takes one, each pooling half
        size = (needed,) * ndim if input_size is None else full_size("airbench", input_size, ndim)
        check_size("airbench", size, (2,) * ndim)
        self.smallest = tuple(min(needed, length) for length in size)
        self.whiten = Whitening(in_channels, ndim)
        self.activation = nn.GELU()
        stages: list[nn.Module] = []
        width = 2 * in_channels * 2**ndim
        maps = tuple(length - 1 for length in size)
        for next_width in widths:
            window = tuple(min(2, length) for length in maps)
            stages.append(Stage(width, next_width, window))
            maps = tuple(length // step for length, step in zip(maps, window, strict=True))
            width = next_width
        self.stages = nn.Sequential(*stages)
        self.pool = (adaptive_max_pool if pool == "max" else adaptive_average_pool)(ndim)(1)
        self.head = nn.Linear(width, num_classes, bias=False)

    def initialise_from(self, images: Float[Tensor, "B C *S"]) -> None:
        """Set the whitening from normalised training images; a few thousand are enough.

        Raises:
            ShapeError: images that the network does not take.
            DataError: values that are not finite.
        """
        self.check_images(images)
        self.whiten.initialise_from(images)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        self.check_images(x)
        x = self.activation(self.whiten(x))  # B×C×*S -> B×2C·2^ndim×*(S-1)
        x = self.stages(x)  # -> B×widths[-1]×*((S-1)/2^stages)
        scores: Tensor = self.head(self.pool(x).flatten(1)) * _SCALE
        return scores

    def check_images(self, x: Tensor) -> None:
        """Refuse images that the network does not take; only their shape is looked at.

        Raises:
            ShapeError: another number of channels or axes, or too few pixels.
        """
        advice = ", or build it with fewer widths or with the images' input_size"
        check_input(
            "airbench", x, self.in_channels, self.ndim, smallest=self.smallest, advice=advice
        )
