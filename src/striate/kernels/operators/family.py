"""A convolution method over native entry points that take a geometry as an array of numbers."""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from striate.kernels.operators.geometry import Direction, Geometry, Method
from striate.kernels.operators.native import POINTER, call, new_images, new_values, pointer

__all__ = ["native_method"]

# x, weight, bias, y, the epilogue; grad, weight, gx; x, grad, gw, gb; and the numbers.
_DECLARED = {"forward": (POINTER,) * 6, "data": (POINTER,) * 4, "weight": (POINTER,) * 5}


def native_method(
    family: str,
    supports: Callable[[Geometry, Direction], bool],
    numbers: Callable[[Geometry, tuple[int, ...]], tuple[int, ...]],
) -> Method:
    """The method of `striate_<family>_forward`, `_data` and `_weight`.

    Args:
        family: the entry points' family.
        supports: whether a geometry can be computed in a direction.
        numbers: what the native code is told, from the geometry and the weight's strides.
    """

    @lru_cache(maxsize=4096)
    def told(geometry: Geometry, strides: tuple[int, ...]) -> Any:
        values = numbers(geometry, strides)
        return (ctypes.c_int64 * len(values))(*values)

    def run(direction: Direction, geometry: Geometry, weight: Tensor, *pointers: Any) -> None:
        numbers = told(geometry, weight.stride())
        call(f"{family}_{direction}", _DECLARED[direction], *pointers, numbers)

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
