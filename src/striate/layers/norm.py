"""Normalisation of each position over its channels, with the channels where images have them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError

__all__ = ["ChannelNorm"]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels at each position of (B, C, *S).

    torch's `nn.LayerNorm` wants the channels last, and `nn.GroupNorm(1, C)` mixes the positions.

    Args:
        num_channels: C.
        eps: Added to the variance.

    Source: Ba, Kiros and Hinton, Layer Normalization (2016), eq. 3, used as in Liu et al., A
    ConvNet for the 2020s (2022).

    Example:
        >>> y = ChannelNorm(8)(torch.randn(2, 8, 5, 7))
        >>> y.mean(1).abs().max() < 1e-5
        tensor(True)
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        if x.shape[1] != len(self.weight):
            raise ShapeError(
                f"ChannelNorm was made for {len(self.weight)} channels; what came has the shape "
                f"{tuple(x.shape)}."
            )
        y = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.movedim(-1, 1)
