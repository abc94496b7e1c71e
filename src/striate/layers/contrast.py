"""Local contrast normalisation, and the local response normalisation of AlexNet."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.layers.l2_pool import root
from striate.layers.window import PerAxis, Window, check_axes, per_axis, windows

__all__ = ["LocalContrastNorm", "LocalResponseNorm"]


class LocalContrastNorm(nn.Module):
    """(x − local mean) / max(local deviation, mean deviation of the image, ε).

    The neighbourhood's weights are renormalised at the borders, where a part of it lies outside:
    a constant image gives exactly zero everywhere. The floor at the image's mean deviation keeps
    flat regions from turning into noise.

    Cost: two blurs, each one product per axis with a matrix as wide as that axis.

    Args:
        size: Size of the neighbourhood, odd, one number or one per axis.
        window: "gaussian", its deviation a quarter of the size, or "box".
        across: Whether means and deviations are over all feature maps, or over each alone.
        epsilon: Smallest deviation that is divided by, in the unit of x.
        ndim: Number of spatial axes: 1, 2 or 3.

    Source: Jarrett, Kavukcuoglu, Ranzato and Le Cun, What is the Best Multi-Stage Architecture
    for Object Recognition? (2009), section 2; size 9 there.

    Example:
        >>> LocalContrastNorm(9)(torch.full((1, 3, 16, 20), 0.7)).abs().max()
        tensor(0.)
    """

    def __init__(
        self,
        size: PerAxis = 9,
        *,
        window: Literal["gaussian", "box"] = "gaussian",
        across: bool = True,
        epsilon: float = 1e-4,
        ndim: int = 2,
    ) -> None:
        super().__init__()
        self.ndim, self.across, self.epsilon = ndim, across, epsilon
        self.size = per_axis(size, ndim, "size")
        if any(length < 1 or length % 2 == 0 for length in self.size):
            raise ConfigError(f"size={size!r}: a neighbourhood has a centre, so the size is odd.")
        if window not in ("gaussian", "box"):
            raise ConfigError(f"window={window!r} is unknown; accepted: 'gaussian', 'box'.")
        if epsilon <= 0:
            raise ConfigError(f"epsilon={epsilon} must be above 0.")
        # The field of an output, apart from the floor: deviations of means of neighbours.
        reach = [length - 1 for length in self.size]
        self.axes = windows(ndim, [2 * length + 1 for length in reach], padding=reach)
        self.window = window

    def local_mean(self, maps: Float[Tensor, "B M *S"]) -> Float[Tensor, "B M *S"]:
        """The weighted mean over the part of each neighbourhood that lies in the image."""
        # One product with a banded matrix per axis: rows that sum to 1 correct the borders.
        # Depthwise convolutions of long thin kernels are many times slower on a CPU.
        for axis, length in enumerate(self.size):
            band = self._band(maps.shape[2 + axis], length, maps)
            if axis + 1 == self.ndim:
                return maps @ band.T
            lines = maps.flatten(0, 1 + axis).flatten(2)
            maps = (band @ lines).view(maps.shape)
        return maps

    def _band(self, size: int, length: int, like: Tensor) -> Tensor:
        position = torch.arange(size, dtype=torch.float64, device="cpu")
        distance = (position.unsqueeze(1) - position).abs()
        weight = torch.exp(-0.5 * (distance / (length / 4)).square())
        if self.window == "box":
            weight = torch.ones_like(distance)
        weight = weight * (distance <= length // 2)
        return (weight / weight.sum(1, keepdim=True)).to(like)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        check_axes(x, self.ndim, "LocalContrastNorm")
        batch, channels, *space = x.shape
        maps = x if self.across else x.reshape(batch * channels, 1, *space)
        # Any shift of an image leaves the result alone; this one makes a constant image exactly
        # zero, where rounding would leave a noise that the division blows up.
        maps = maps - maps.flatten(1)[:, 0].detach().view(-1, *(1,) * (self.ndim + 1))
        centred = maps - self.local_mean(maps.mean(1, keepdim=True))
        deviation = root(self.local_mean(centred.square().mean(1, keepdim=True)))
        floor = deviation.flatten(1).mean(1).clamp(min=self.epsilon)
        y = centred / torch.maximum(deviation, floor.view(-1, *(1,) * (self.ndim + 1)))
        return y.view_as(x)

    def extra_repr(self) -> str:
        return f"size={self.size}, across={self.across}"


class LocalResponseNorm(nn.Module):
    """AlexNet's x / (k + α Σ x²)^β, the sum over `size` neighbouring feature maps.

    torch's own divides α by the size; the published constants are for the plain sum, so that
    `nn.LocalResponseNorm(5, alpha=1e-4)` normalises five times less than the paper.

    Cost: a product with a banded matrix as wide as the channels; a third of torch's time for
    64 channels on a CPU, forward and backward.

    Args:
        size: Number n of neighbouring maps.
        alpha, beta, k: The paper's, by default.

    Source: Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional
    Neural Networks (2012), section 3.3.

    Example:
        >>> LocalResponseNorm(size=1, alpha=1.0, beta=1.0, k=2.0)(torch.full((1, 1, 3), 2.0))
        tensor([[[0.3333, 0.3333, 0.3333]]])
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"size={size} must be 1 or more.")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.axes: tuple[Window, ...] = ()  # each position by itself

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        maps = torch.arange(x.shape[1], device=x.device)
        ahead = maps - maps.unsqueeze(1)
        near = (ahead >= -(self.size // 2)) & (ahead <= (self.size - 1) // 2)
        band = near.to(x.dtype) * self.alpha
        if x.stride(1) == 1:  # channels last: keep them so
            total = (x.square().movedim(1, -1) @ band.T).movedim(-1, 1)
        else:
            total = (band @ x.square().flatten(2)).view(x.shape)
        divisor = total + self.k
        if self.beta == 0.75:  # the paper's; three roots take less time than a power
            root_inverse = divisor.rsqrt()
            return x * (root_inverse * root_inverse.sqrt())
        return x * divisor.pow(-self.beta)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
