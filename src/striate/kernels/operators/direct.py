"""Convolutions of any shape as products with gathered patches, natively.

A tile of the matrix whose rows are what the filter sees at each position is gathered into the
cache, multiplied and forgotten: any kernel, stride, padding, dilation, groups and channels. The
gradient of the data gathers too, once for each phase of the stride, so that nothing is scattered;
that of the weight sums over tiles of pixels, each thread its own, and adds the threads in order.

Sums are float32, in blocks: errors stay below 10 roundings (2⁻²⁴) of the sum of the terms'
magnitudes, as the tests hold against float64.

Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document
Processing, 2006 (the matrix of patches); Goto and van de Geijn, Anatomy of High-Performance Matrix
Multiplication, 2008 (the blocks).
"""

from striate.kernels import library
from striate.kernels.operators.family import native_method
from striate.kernels.operators.geometry import Direction, Geometry

__all__ = ["METHODS"]


def _numbers(geometry: Geometry, strides: tuple[int, ...]) -> tuple[int, ...]:
    """In the order of `Convolution` in native/direct.hpp."""
    B, C, H, W = geometry.x
    sizes = (B, H, W, C, *geometry.weight[:1], *geometry.weight[2:])
    steps = (*geometry.stride, *geometry.padding, *geometry.dilation, geometry.groups)
    return (*sizes, *steps, *strides)


def _supports(geometry: Geometry, direction: Direction) -> bool:
    """Everything that has an output, but for channels kept apart: they have their own method."""
    return (
        min(*geometry.weight, *geometry.x) > 0
        and min(geometry.output) > 0
        and min(geometry.padding) >= 0
        and (geometry.groups == 1 or geometry.weight[1] > 1)
        and library.available()
    )


METHODS = {"direct": native_method("direct", _supports, _numbers)}
