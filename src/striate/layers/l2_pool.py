"""L2 pooling: the length of the vector of values in a window, or across feature maps."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError, ShapeError
from striate.layers.window import PerAxis, check_axes, windows

__all__ = ["L2FeaturePool", "L2Pool", "root"]


def root(squares: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """√ with the gradient 0 at 0: the length of a zero vector grows in no direction.

    Example:
        >>> root(torch.tensor([0.0, 9.0]))
        tensor([0., 3.])
    """
    positive = squares > 0
    return torch.where(positive, squares, 1).sqrt() * positive


class L2Pool(nn.Module):
    """√(Σ x²) over each window; padding adds nothing.

    Cost: an average pooling, a square and a root; no copy of the windows.

    Args:
        kernel_size, stride, padding: One number, or one per axis; stride None is the kernel's
            size. Padding is at most half the kernel, as for torch's poolings.
        ceil_mode: a last window that hangs over the border counts too.
        mean: √(mean of x²), dividing by the size of the whole window.
        ndim: 1, 2 or 3.

    Source: Hyvärinen and Hoyer (2001); Sermanet, Chintala and Le Cun, Convolutional neural
    networks applied to house numbers digit classification (2012), Lp pooling with P = 2.

    Example:
        >>> L2Pool(2, ndim=1)(torch.tensor([[[3.0, 4.0, 0.0, 0.0]]]))
        tensor([[[5., 0.]]])
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        *,
        ceil_mode: bool = False,
        mean: bool = False,
        ndim: int = 2,
    ) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.axes = windows(ndim, kernel_size, stride, padding, ceil_mode=ceil_mode)
        if any(window.padding > window.kernel // 2 for window in self.axes):
            raise ConfigError(
                f"padding={padding!r} is more than half of kernel_size={kernel_size!r}: windows "
                "would lie in the padding alone."
            )
        self.ndim, self.mean = ndim, mean

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *O"]:
        check_axes(x, self.ndim, "L2Pool")
        for window, size in zip(self.axes, x.shape[2:], strict=True):
            window.output_size(size)
        kernel = [window.kernel for window in self.axes]
        stride = [window.stride for window in self.axes]
        padding = [window.padding for window in self.axes]
        squares = x.square()
        if self.ndim == 1:  # torch's 1-D average has no divisor_override
            squares = squares.unsqueeze(2)
            kernel, stride, padding = [1, *kernel], [1, *stride], [0, *padding]
        pool = F.avg_pool3d if self.ndim == 3 else F.avg_pool2d
        divisor = math.prod(kernel) if self.mean else 1
        ceil_mode = self.axes[0].ceil_mode
        total = pool(squares, kernel, stride, padding, ceil_mode, divisor_override=divisor)
        return root(total.squeeze(2) if self.ndim == 1 else total)


class L2FeaturePool(nn.Module):
    """√(Σ x²) over `size` neighbouring feature maps, at each position.

    Args:
        size: Feature maps pooled into one.
        stride: From one pool to the next; None: `size`.

    Source: Le et al., Building high-level features using large scale unsupervised learning (2012).

    Example:
        >>> L2FeaturePool(2)(torch.tensor([[[3.0], [4.0], [0.0], [2.0]]]))
        tensor([[[5.],
                 [2.]]])
    """

    def __init__(self, size: int, stride: int | None = None) -> None:
        super().__init__()
        self.size, self.stride = size, size if stride is None else stride
        if min(self.size, self.stride) < 1:
            raise ConfigError(f"size={size!r} and stride={stride!r} must be 1 or more.")

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *S"]:
        if x.shape[1] < self.size:
            raise ShapeError(f"L2FeaturePool({self.size}) cannot pool {x.shape[1]} feature maps.")
        return root(x.square().unfold(1, self.size, self.stride).sum(-1))
