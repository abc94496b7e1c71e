"""3×3 convolutions of stride 1 by Winograd's minimal filtering, natively.

F(4×4, 3×3) needs 2.25 multiplications for an output where the direct way needs 9; F(2×2, 3×3)
needs 4, rounds less and wastes less on the smallest maps.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.
"""

from typing import Any

import torch
from torch import Tensor

from striate.kernels import library
from striate.kernels.operators import native
from striate.kernels.operators.geometry import Direction, Geometry, Method

# The tile's side; four tensors; the epilogue; B, H, W, C, K, padding of rows and columns; the
# kernel's strides.
_FORWARD = (native.INT, *[native.POINTER] * 5, *[native.SIZE] * 7, *[native.SIZE] * 4)
_WEIGHT = (native.INT, *[native.POINTER] * 4, *[native.SIZE] * 7, *[native.SIZE] * 4)


def _supports(geometry: Geometry, direction: Direction) -> bool:
    """3×3, stride 1, padding 0 to 2, any channels and sizes that leave an output."""
    return (
        geometry.plain
        and geometry.weight[2:] == (3, 3)
        and geometry.stride == (1, 1)
        and 0 <= min(geometry.padding) <= max(geometry.padding) <= 2
        and min(geometry.output) > 0
        and min(geometry.x) > 0
        and library.available()
    )


def _method(tile: int) -> Method:
    """F(tile×tile, 3×3)."""

    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, epilogue: Any
    ) -> Tensor:
        y = native.new_images(geometry.output)
        B, C, H, W = geometry.x
        pointers = (x.data_ptr(), weight.data_ptr(), native.pointer(bias), y.data_ptr(), epilogue)
        sizes = (B, H, W, C, geometry.weight[0], *geometry.padding)
        native.call("winograd_forward", _FORWARD, tile, *pointers, *sizes, *weight.stride())
        return y

    def data(grad: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        # The kernel turned by half a turn, its channels exchanged: negative strides from the end.
        gx = native.new_images(geometry.x)
        B, K, H, W = geometry.output
        k, c, r, s = weight.stride()
        last = weight.data_ptr() + (2 * r + 2 * s) * weight.element_size()
        sizes = (B, H, W, K, geometry.x[1], 2 - geometry.padding[0], 2 - geometry.padding[1])
        pointers = (grad.data_ptr(), last, None, gx.data_ptr(), None)
        native.call("winograd_forward", _FORWARD, tile, *pointers, *sizes, c, k, -r, -s)
        return gx

    def weight(
        grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, bias: bool
    ) -> tuple[Tensor, Tensor | None]:
        gw = torch.empty_like(weight)
        gb = native.new_values(geometry.weight[0]) if bias else None
        B, C, H, W = geometry.x
        pointers = (x.data_ptr(), grad.data_ptr(), gw.data_ptr(), native.pointer(gb))
        sizes = (B, H, W, C, geometry.weight[0], *geometry.padding)
        native.call("winograd_weight", _WEIGHT, tile, *pointers, *sizes, *gw.stride())
        return gw, gb

    return Method(_supports, forward, data, weight)


METHODS = {"winograd2": _method(2), "winograd4": _method(4)}
