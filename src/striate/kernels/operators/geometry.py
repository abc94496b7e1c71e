"""The shapes of a convolution, and the interface of a native method to compute it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Direction = Literal["forward", "data", "weight"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "data", "weight")
"""Forward, gradient for the data, gradient for the weight (and the bias)."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """All sizes of a 2-D convolution: x of (B, C, H, W), weight of (K, C / groups, R, S)."""

    x: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    stride: Size = (1, 1)
    padding: Size = (0, 0)
    dilation: Size = (1, 1)
    groups: int = 1

    @property
    def output(self) -> tuple[int, int, int, int]:
        """The shape of the output (B, K, H', W').

        Example:
            >>> Geometry((2, 3, 9, 8), (5, 3, 3, 3), stride=(2, 1), padding=(1, 0)).output
            (2, 5, 5, 6)
        """
        height, width = (
            (self.x[2 + i] + 2 * self.padding[i] - self.dilation[i] * (self.weight[2 + i] - 1) - 1)
            // self.stride[i]
            + 1
            for i in range(2)
        )
        return self.x[0], self.weight[0], height, width

    @property
    def plain(self) -> bool:
        """Whether the kernel's elements touch neighbouring pixels of all channels."""
        return self.dilation == (1, 1) and self.groups == 1


@dataclass(frozen=True)
class Method:
    """A native way to compute a convolution.

    The functions are only called where `supports` is true, with float32 CPU tensors; images and
    their gradients are dense in channels_last memory, weights have any strides.

    Attributes:
        supports: Whether this geometry can be computed in a direction.
        forward: (x, weight, bias or None, geometry, address of an epilogue or None: see
            inference.py) -> output, channels_last.
        data: (gradient of the output, weight, geometry) -> gradient of x, channels_last.
        weight: (gradient of the output, x, weight, geometry, whether a bias's gradient is wanted)
            -> gradient of the weight with the weight's strides, and of the bias or None.
    """

    supports: Callable[[Geometry, Direction], bool]
    forward: Callable[[Tensor, Tensor, Tensor | None, Geometry, Any], Tensor]
    data: Callable[[Tensor, Tensor, Geometry], Tensor]
    weight: Callable[[Tensor, Tensor, Tensor, Geometry, bool], tuple[Tensor, Tensor | None]]
