"""Rules of the operations that slide along an axis: convolution, pooling, resizing, padding."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from striate.layers.geometry.field import AxisMap, window_map
from striate.layers.geometry.track import (
    Call,
    Track,
    along_dims,
    chosen_by_data,
    moved,
    numbers,
    rule,
)
from striate.layers.window import Window

_CONVOLUTIONS = "convolution _convolution"
_POOLINGS = (
    "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d "
    "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices"
)


@rule(_CONVOLUTIONS)
def _convolution(call: Call) -> Track | None:
    axes = _windows(call.arguments["weight"].shape[2:], call.arguments)
    return _slide(call, axes, _adjoint if call.arguments["transposed"] else window_map)


@rule(_POOLINGS)
def _pool(call: Call) -> Track | None:
    return _slide(call, pool_windows(call.arguments), window_map)


@rule("max_unpool2d max_unpool3d")
def _unpool(call: Call) -> Track | None:
    axes = call.pools.get(id(call.arguments["indices"]))
    return None if axes is None else chosen_by_data(_slide(call, axes, _adjoint))


@rule("grid_sampler_2d grid_sampler_3d")
def _sample(call: Call) -> Track | None:
    """Each output lies where a grid of numbers says, perhaps anywhere."""
    return chosen_by_data(moved(call.first()[1], lambda dim: None))


def pool_windows(arguments: dict[str, Any]) -> tuple[Window, ...]:
    """The windows of a pooling with these arguments."""
    return _windows(arguments["kernel_size"], arguments)


def sliding_windows(name: str, arguments: dict[str, Any]) -> tuple[Window, ...]:
    """The windows in which an operation reads its first argument; none: it does not slide."""
    if name in _POOLINGS.split():
        return pool_windows(arguments)
    if name in _CONVOLUTIONS.split() and not arguments["transposed"]:
        return _windows(arguments["weight"].shape[2:], arguments)
    return ()


def _windows(kernel: Sequence[int], arguments: dict[str, Any]) -> tuple[Window, ...]:
    """One window for each spatial axis; without a stride the windows lie side by side."""
    count = len(kernel)
    columns = zip(
        kernel,
        numbers(arguments.get("stride") or list(kernel), count, 1),
        numbers(arguments.get("padding"), count, 0),
        numbers(arguments.get("dilation"), count, 1),
        strict=True,
    )
    return tuple(Window(*column) for column in columns)


def _slide(
    call: Call, axes: Sequence[Window], make_map: Callable[[Window, int], AxisMap]
) -> Track | None:
    """The track after a window along each of the last dimensions."""
    x, track = call.first()
    dims = range(x.ndim - len(axes), x.ndim)
    maps = {d: make_map(w, call.output.shape[d]) for d, w in zip(dims, axes, strict=True)}
    return along_dims(track, maps)


def _adjoint(window: Window, num_outputs: int) -> AxisMap:
    """Transposed convolution: input i writes to all that output i of `window` takes."""

    def taps(output: int) -> list[int]:
        offsets = range(0, window.extent, window.dilation)
        at = [output + window.padding - offset for offset in offsets]
        return [position // window.stride for position in at if position % window.stride == 0]

    return AxisMap(taps, num_outputs, period=window.stride, shift=1)


@rule(
    "_adaptive_avg_pool2d _adaptive_avg_pool3d "
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"
)
def _adaptive(call: Call) -> Track | None:
    x, track = call.first()
    count = len(call.arguments["output_size"])
    maps = {}
    for dim in range(x.ndim - count, x.ndim):
        n, m = x.shape[dim], call.output.shape[dim]

        def taps(o: int, n: int = n, m: int = m) -> range:
            return range(o * n // m, -(-(o + 1) * n // m))

        common = math.gcd(n, m)
        maps[dim] = AxisMap(taps, m, period=m // common, shift=n // common)
    track = along_dims(track, maps)
    # One output over the whole axis is seen by nothing beside it.
    return moved(track, lambda dim: None if call.output.shape[dim] == 1 else dim)


@rule(
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d"
)
def _upsample(call: Call) -> Track | None:
    x, track = call.first()
    arguments = call.arguments
    # How far around the source an output reads: not, to both neighbours, to two on each side.
    reach = 2 if "cubic" in arguments["__name__"] else 1 if "linear" in arguments["__name__"] else 0
    maps = {}
    for dim in range(2, x.ndim):
        n, m = x.shape[dim], call.output.shape[dim]
        aligned = bool(arguments.get("align_corners")) and m > 1
        step = Fraction(n - 1, m - 1) if aligned else Fraction(n, m)

        def taps(o: int, n: int = n, step: Fraction = step, aligned: bool = aligned) -> list[int]:
            if reach == 0:
                return [math.floor(o * step)]
            source = o * step if aligned else (o + Fraction(1, 2)) * step - Fraction(1, 2)
            low = math.floor(source)
            if source == low:
                return [low]
            return list(range(low - reach + 1, low + reach + 1))

        maps[dim] = AxisMap(taps, m, period=step.denominator, shift=max(step.numerator, 1))
    return along_dims(track, maps)


@rule(
    "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d"
)
def _pad(call: Call) -> Track | None:
    x, track = call.first()
    arguments = call.arguments
    amounts: list[int] = arguments.get("pad") or arguments["padding"]
    mirrored, copied = (arguments["__name__"].startswith(k) for k in ("reflection", "replication"))
    maps = {}
    for pair in range(len(amounts) // 2):
        dim, before = x.ndim - 1 - pair, amounts[2 * pair]
        last = x.shape[dim] - 1

        def taps(o: int, before: int = before) -> list[int]:
            return [o - before]

        def border_taps(o: int, before: int = before, last: int = last) -> list[int]:
            source = o - before
            if copied:
                return [min(max(source, 0), last)]
            return [last - abs(last - abs(source)) if mirrored else source]

        maps[dim] = AxisMap(taps, call.output.shape[dim], border_taps=border_taps)
    return along_dims(track, maps)


@rule("unfold")
def _unfold(call: Call) -> Track | None:
    x, track = call.first()
    arguments = call.arguments
    dim = arguments["dimension"] % x.ndim
    window = Window(arguments["size"], arguments["step"])
    return along_dims(track, {dim: window_map(window, call.output.shape[dim])})
