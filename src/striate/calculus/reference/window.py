"""Windows: the one idea that convolution and pooling share, for any number of spatial axes.

A window slides over the input and stops at O positions; at each stop it sees F numbers. Once a
table says which numbers these are, an input of any dimension has become a plain matrix of
O rows and F columns (known as im2col), and what a layer does with a row is its own affair.
"""

import math

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from striate.calculus.reference.array import Array, PerAxis
from striate.errors import ShapeError

__all__ = ["output_size", "window_table", "windows", "windows_bp"]


def per_axis(value: PerAxis, num_axes: int) -> tuple[int, ...]:
    """One number for each spatial axis."""
    return (value,) * num_axes if isinstance(value, int) else value


def output_size(
    size: tuple[int, ...],
    window: tuple[int, ...],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> tuple[int, ...]:
    """The number of stops of the window along each axis:  ⌊(size + 2·padding − span) / stride⌋ + 1.

    The span of a window is the room it takes, dilation·(window − 1) + 1.

    Raises:
        ShapeError: the window does not fit into the padded input.
    """
    num_axes = len(size)
    strides, paddings = per_axis(stride, num_axes), per_axis(padding, num_axes)
    dilations = per_axis(dilation, num_axes)
    spans = tuple(d * (f - 1) + 1 for d, f in zip(dilations, window, strict=True))
    rooms = tuple(s + 2 * pad for s, pad in zip(size, paddings, strict=True))
    if any(span > room for span, room in zip(spans, rooms, strict=True)):
        raise ShapeError(
            f"The window spans {spans} but the padded input has only {rooms}; "
            "take a larger input, more padding or a smaller window."
        )
    return tuple(
        (room - span) // s + 1 for room, span, s in zip(rooms, spans, strides, strict=True)
    )


def window_table(
    size: tuple[int, ...], window: tuple[int, ...], stride: PerAxis = 1, dilation: PerAxis = 1
) -> Int[NDArray[np.int64], "O F"]:
    """For each stop of the window, the positions it sees, counted along the flattened input.

    Example:
        >>> window_table((3, 3), (2, 2))
        array([[0, 1, 3, 4],
               [1, 2, 4, 5],
               [3, 4, 6, 7],
               [4, 5, 7, 8]])
    """
    num_axes = len(size)
    stops = output_size(size, window, stride, 0, dilation)
    strides, dilations = per_axis(stride, num_axes), per_axis(dilation, num_axes)
    spans = tuple(d * (f - 1) + 1 for d, f in zip(dilations, window, strict=True))
    positions = np.arange(math.prod(size)).reshape(size)  # *S
    seen = sliding_window_view(positions, spans)  # one stop at every position, nothing left out
    seen = seen[tuple(slice(None, None, step) for step in strides + dilations)]  # *O *F
    return seen.reshape(math.prod(stops), math.prod(window))


def windows(
    x: Float[Array, "B C *S"],
    window: tuple[int, ...],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    fill: float = 0.0,
) -> Float[Array, "B C O F"]:
    """The numbers that the window sees at each stop; `fill` stands in the padding.

    Example:
        >>> windows(np.array([[[1.0, 2.0, 3.0, 4.0]]]), (2,))
        array([[[[1., 2.],
                 [2., 3.],
                 [3., 4.]]]])
    """
    B, C, *size = x.shape
    border = [(pad, pad) for pad in per_axis(padding, len(size))]
    x = np.pad(x, [(0, 0), (0, 0), *border], constant_values=fill)
    table = window_table(x.shape[2:], window, stride, dilation)  # O F
    return np.take(x.reshape(B, C, -1), table, axis=-1)


def windows_bp(
    p: Float[Array, "B C O F"],
    x: Float[Array, "B C *S"],
    window: tuple[int, ...],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> Float[Array, "B C *S"]:
    """The gradient by x: every number goes back to its position; windows that overlap add up.

    Example:
        >>> x = np.array([[[1.0, 2.0, 3.0, 4.0]]])
        >>> windows_bp(np.ones((1, 1, 3, 2)), x, (2,))
        array([[[1., 2., 2., 1.]]])
    """
    B, C, *size = x.shape
    paddings = per_axis(padding, len(size))
    padded = tuple(s + 2 * pad for s, pad in zip(size, paddings, strict=True))
    table = window_table(padded, window, stride, dilation)  # O F
    dx = np.zeros((B, C, math.prod(padded)))
    np.add.at(dx, (..., table), p)  # type: ignore[arg-type] # numpy's stub knows no tuples here
    inside = tuple(slice(pad, pad + s) for s, pad in zip(size, paddings, strict=True))
    return dx.reshape(B, C, *padded)[:, :, *inside]
