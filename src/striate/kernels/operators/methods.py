"""The native methods of a convolution: which there are, which fit a geometry, which is best.

- `winograd2`, `winograd4`: 3×3 kernels of stride 1 by minimal filtering F(2×2, 3×3) and
  F(4×4, 3×3), which need 4 and 2.25 multiplications for an output where the definition needs 9.
- `direct`: any geometry, as a product with gathered patches. A tile of the matrix whose rows are
  what the filter sees at each position is gathered into the cache, multiplied and forgotten; the
  gradient of the data gathers too, so that nothing is scattered.
- `depthwise`: one kernel for each channel (groups = channels), vectors of neighbouring channels.

Errors of `direct` and `depthwise` stay below 10 roundings (2⁻²⁴) of the sum of the terms'
magnitudes, as the tests hold against float64.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4;
Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document
Processing (2006), for the matrix of patches; Goto and van de Geijn, Anatomy of High-Performance
Matrix Multiplication (2008), for the blocks.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

from striate.errors import ConfigError, unknown_name
from striate.kernels import library
from striate.kernels.operators import gathered, winograd
from striate.kernels.operators.geometry import DIRECTIONS, Direction, Geometry, Method

_VECTOR = 16
"""Numbers in a vector of AVX-512."""
_LARGEST = 2**31
"""Bound of stride, padding and dilation, so that their sums and products fit 64 bits."""
_MOST = 2**40
"""Bound of the numbers in a tensor."""

METHODS: dict[str, Method] = {**winograd.METHODS, **gathered.METHODS}
"""Native methods by name; "torch" stands for torch's own operator beside them."""


def candidates(geometry: Geometry) -> dict[Direction, list[str]]:
    """The methods that can compute a geometry, by direction; "torch" is always the first.

    Example:
        >>> candidates(Geometry((8, 16, 9, 9), (32, 16, 1, 1)))["forward"][0]
        'torch'
    """
    return {
        direction: ["torch", *(n for n, m in METHODS.items() if m.supports(geometry, direction))]
        for direction in DIRECTIONS
    }


def default_methods(geometry: Geometry) -> str:
    """A good guess of methods without measuring: "forward,data,weight".

    Example:
        >>> geometry = Geometry((8, 16, 9, 9), (32, 16, 5, 5))
        >>> default_methods(geometry).split(",")[0]
        'torch'
    """
    return ",".join(_guess(geometry, direction) for direction in DIRECTIONS)


def _guess(geometry: Geometry, direction: Direction) -> str:
    """Winograd where channels pay for its transforms; else ours where torch was measured slower.

    Source: the tables of docs/inside/kernels.md.
    """
    fits = {name for name, method in METHODS.items() if method.supports(geometry, direction)}
    if "depthwise" in fits:
        large = max(geometry.weight[2:]) > 3 or max(geometry.stride) > 1
        slow = direction == "data" or (direction == "weight" and large)
        return "depthwise" if slow else "torch"
    channels = min(geometry.weight[0], geometry.x[1])
    if "winograd4" in fits and channels >= 16:
        height, width = geometry.x[2:] if direction == "data" else geometry.output[2:]
        cost = {m: (m + 2) ** 2 * -(-height // m) * -(-width // m) for m in (2, 4)}
        return "winograd4" if cost[4] < cost[2] else "winograd2"
    if "direct" not in fits or geometry.weight[1] == 1:
        return "torch"
    return "direct" if direction == "weight" or _pays(geometry, direction) else "torch"


def _pays(geometry: Geometry, direction: Direction) -> bool:
    """Whether `direct` was measured faster than torch forward, or for the gradient of the data.

    With vectors of 16 numbers: where a filter sees 16 numbers at most, and where it sees one pixel.
    """
    num_filters = geometry.weight[0] // geometry.groups
    if library.isa() != "avx512" or num_filters < _VECTOR:
        return False
    num_taps = math.prod(geometry.weight[2:])
    if num_taps == 1:
        return geometry.weight[1] >= _VECTOR
    return direction == "forward" and num_taps * geometry.weight[1] <= _VECTOR


@lru_cache(maxsize=1024)
def parse(methods: str) -> tuple[str, str, str]:
    """The three names of "forward,data,weight".

    Raises:
        ConfigError: not three, or one that is not in the table.
    """
    names = methods.split(",")
    for name in names:
        if name != "torch" and name not in METHODS:
            raise ConfigError(unknown_name("convolution method", name, ["torch", *METHODS]))
    if len(names) != 3:
        raise ConfigError(
            f"methods={methods!r}: expected three names, 'forward,data,weight', "
            "for example 'winograd4,winograd4,torch'."
        )
    return names[0], names[1], names[2]


def fitting(
    direction: Direction, x: Sequence[int], weight: Tensor, sizes: tuple[Any, ...]
) -> tuple[Geometry, Method] | None:
    """The geometry of a call and the native method that computes it, or None for torch's operator.

    Args:
        direction: "forward", "data" or "weight".
        x: Shape of the images (B, C, H, W).
        weight: Kernel (K, C / groups, R, S).
        sizes: Stride, padding, dilation, groups, methods.
    """
    if len(x) != 4 or weight.dim() != 4:
        return None
    *lists, groups, methods = sizes
    key = (tuple(x), tuple(weight.shape), *map(tuple, lists), groups)
    geometry, chosen = _choose(key, methods, library.isa())
    method = chosen[direction]
    return None if method is None else (geometry, method)


@lru_cache(maxsize=4096)
def _choose(
    key: tuple[Any, ...], methods: str, isa: str
) -> tuple[Geometry, dict[Direction, Method | None]]:
    """The geometry and, for each direction, the native method or None for torch's operator.

    Shapes that do not belong together have none: torch's operator says what is wrong with them.
    What is supported may depend on the library in use: `isa` is there for the cache's key.
    """
    geometry = Geometry(*key)
    x, weight, stride, padding, dilation, groups = key
    paired = all(len(pair) == 2 and max(pair) < _LARGEST for pair in (stride, padding, dilation))
    whole = paired and min(*stride, *dilation, groups) > 0
    whole = whole and x[1] == weight[1] * groups and weight[0] % groups == 0
    # Only a view that repeats its values has more, and no memory holds the result.
    whole = whole and max(map(math.prod, (x, weight, geometry.output))) < _MOST
    chosen: dict[Direction, Method | None] = {}
    for direction, name in zip(DIRECTIONS, parse(methods), strict=True):
        method = METHODS.get(name)
        fits = whole and method is not None and method.supports(geometry, direction)
        chosen[direction] = method if fits else None
    return geometry, chosen
