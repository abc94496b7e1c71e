"""Convolutions that keep channels apart (groups = channels), natively.

Vectors hold neighbouring channels of a pixel; a few outputs in a row share what they load. Every
size is right; kernels 3, 5 and 7 wide of stride 1, and 3 and 5 wide of stride 2, are fast.

Errors stay below 10 roundings (2⁻²⁴) of the sum of the terms' magnitudes, as the tests hold
against float64.
"""

from striate.kernels import library
from striate.kernels.operators.family import native_method
from striate.kernels.operators.geometry import Direction, Geometry

__all__ = ["METHODS"]

_MOST_TAPS = 64


def _numbers(geometry: Geometry, strides: tuple[int, ...]) -> tuple[int, ...]:
    """In the order of `Depthwise` in native/depthwise.cpp."""
    B, C, H, W = geometry.x
    steps = (*geometry.stride, *geometry.padding, *geometry.dilation)
    return (B, H, W, C, *geometry.weight[2:], *steps, strides[0], *strides[2:])


def _supports(geometry: Geometry, direction: Direction) -> bool:
    """One kernel for each channel, of at most 64 elements."""
    K, C, R, S = geometry.weight
    return (
        geometry.groups == geometry.x[1] == K
        and C == 1
        and 0 < R * S <= _MOST_TAPS
        and min(geometry.x) > 0
        and min(geometry.output) > 0
        and min(geometry.padding) >= 0
        and library.available()
    )


METHODS = {"depthwise": native_method("depthwise", _supports, _numbers)}
