"""The methods `direct` and `depthwise`, whose entry points take the geometry as an array."""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from striate.kernels import library
from striate.kernels.operators.geometry import Direction, Geometry, Method
from striate.kernels.operators.native import POINTER, call, new_images, new_values, pointer

_MOST_TAPS = 64
"""Elements of a kernel of `depthwise`."""
# x, weight, bias, y, the epilogue; grad, weight, gx; x, grad, gw, gb; and the numbers.
_DECLARED = {"forward": (POINTER,) * 6, "data": (POINTER,) * 4, "weight": (POINTER,) * 5}


def _is_possible(geometry: Geometry) -> bool:
    sizes = (*geometry.weight, *geometry.x, *geometry.output)
    return min(sizes) > 0 and min(geometry.padding) >= 0 and library.available()


def _supports_direct(geometry: Geometry, direction: Direction) -> bool:
    """All but channels kept apart, which have their own method."""
    return _is_possible(geometry) and (geometry.groups == 1 or geometry.weight[1] > 1)


def _supports_depthwise(geometry: Geometry, direction: Direction) -> bool:
    K, C, R, S = geometry.weight
    alone = geometry.groups == geometry.x[1] == K and C == 1
    return _is_possible(geometry) and alone and R * S <= _MOST_TAPS


def _direct_numbers(geometry: Geometry, strides: tuple[int, ...]) -> tuple[int, ...]:
    """The fields of `Convolution` in native/direct.hpp, in its order."""
    B, C, H, W = geometry.x
    sizes = (B, H, W, C, geometry.weight[0], *geometry.weight[2:])
    steps = (*geometry.stride, *geometry.padding, *geometry.dilation, geometry.groups)
    return (*sizes, *steps, *strides)


def _depthwise_numbers(geometry: Geometry, strides: tuple[int, ...]) -> tuple[int, ...]:
    """The fields of `Depthwise` in native/depthwise.cpp, in its order."""
    B, C, H, W = geometry.x
    steps = (*geometry.stride, *geometry.padding, *geometry.dilation)
    return (B, H, W, C, *geometry.weight[2:], *steps, strides[0], *strides[2:])


def _method(
    name: str,
    supports: Callable[[Geometry, Direction], bool],
    numbers: Callable[[Geometry, tuple[int, ...]], tuple[int, ...]],
) -> Method:
    """The method of the entry points `striate_<name>_forward`, `_data` and `_weight`."""

    @lru_cache(maxsize=4096)
    def packed(geometry: Geometry, strides: tuple[int, ...]) -> Any:
        values = numbers(geometry, strides)
        return (ctypes.c_int64 * len(values))(*values)

    def run(direction: Direction, geometry: Geometry, weight: Tensor, *pointers: Any) -> None:
        sizes = packed(geometry, weight.stride())
        call(f"{name}_{direction}", _DECLARED[direction], *pointers, sizes)

    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, epilogue: Any
    ) -> Tensor:
        y = new_images(geometry.output)
        run("forward", geometry, weight, *map(pointer, (x, weight, bias, y)), epilogue)
        return y

    def data(grad: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        gx = new_images(geometry.x)
        run("data", geometry, weight, *map(pointer, (grad, weight, gx)))
        return gx

    def weight(
        grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, bias: bool
    ) -> tuple[Tensor, Tensor | None]:
        gw = torch.empty_like(weight)
        gb = new_values(geometry.weight[0]) if bias else None
        run("weight", geometry, gw, *map(pointer, (x, grad, gw, gb)))
        return gw, gb

    return Method(supports, forward, data, weight)


METHODS = {
    "direct": _method("direct", _supports_direct, _direct_numbers),
    "depthwise": _method("depthwise", _supports_depthwise, _depthwise_numbers),
}
