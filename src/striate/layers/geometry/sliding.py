"""Rules of the operations that slide along an axis: convolution, pooling, resizing, padding."""

import math
from fractions import Fraction
from typing import Any

from striate.layers.geometry.field import AxisMap, window_map
from striate.layers.geometry.track import Call, Track, along_dims, moved, numbers, rule
from striate.layers.window import Window

__all__ = ["pool_windows"]


@rule("convolution", "_convolution")
def _convolution(call: Call) -> Track | None:
    given = call.arguments
    x, weight, out = given["input"], given["weight"], call.output
    kernel = list(weight.shape[2:])
    count = len(kernel)
    maps = {}
    for axis, (k, s, p, d) in enumerate(
        zip(
            kernel,
            numbers(given["stride"], count, 1),
            numbers(given["padding"], count, 0),
            numbers(given["dilation"], count, 1),
            strict=True,
        )
    ):
        dim = x.ndim - count + axis
        if given["transposed"]:
            maps[dim] = _adjoint(Window(k, s, p, d), out.shape[dim])
        else:
            maps[dim] = window_map(Window(k, s, p, d), out.shape[dim])
    return along_dims(call.track(x), maps)


def _adjoint(window: Window, num_outputs: int) -> AxisMap:
    """Input i of a transposed convolution writes to all that `window` takes for its output i."""

    def taps(output: int) -> list[int]:
        places = range(0, window.extent, window.dilation)
        at = [output + window.padding - place for place in places]
        return [place // window.stride for place in at if place % window.stride == 0]

    return AxisMap(taps, num_outputs, period=window.stride, shift=1)


@rule(
    *(
        f"{kind}_pool{d}d{tail}"
        for kind in ("max", "avg")
        for d in "123"
        for tail in ("", "_with_indices")
    )
)
def _pool(call: Call) -> Track | None:
    x, track = call.first()
    axes = pool_windows(call.arguments)
    start = x.ndim - len(axes)
    return along_dims(
        track,
        {start + i: window_map(w, call.output.shape[start + i]) for i, w in enumerate(axes)},
    )


def pool_windows(given: dict[str, Any]) -> tuple[Window, ...]:
    """The windows that a pooling was called with."""
    kernel = list(given["kernel_size"])
    stride = given.get("stride") or kernel
    count = len(kernel)
    columns = zip(
        kernel,
        numbers(stride, count, 1),
        numbers(given.get("padding"), count, 0),
        numbers(given.get("dilation"), count, 1),
        strict=True,
    )
    return tuple(Window(*numbers) for numbers in columns)


@rule("max_unpool2d", "max_unpool3d")
def _unpool(call: Call) -> Track | None:
    x, track = call.first()
    axes = call.pools.get(id(call.arguments["indices"]))
    if axes is None:
        return None
    maps = {}
    for i, window in enumerate(axes):
        dim = x.ndim - len(axes) + i
        maps[dim] = _adjoint(window, call.output.shape[dim])
    return along_dims(track, maps)


@rule(
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
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
    *(
        f"upsample_{kind}"
        for kind in (
            "nearest1d",
            "nearest2d",
            "nearest3d",
            "linear1d",
            "bilinear2d",
            "trilinear3d",
            "bicubic2d",
        )
    )
)
def _upsample(call: Call) -> Track | None:
    x, track = call.first()
    given = call.arguments
    # How far around the source an output reads: not, to both neighbours, to two on each side.
    reach = 2 if "cubic" in given["__name__"] else 1 if "linear" in given["__name__"] else 0
    maps = {}
    for dim in range(2, x.ndim):
        n, m = x.shape[dim], call.output.shape[dim]
        aligned = bool(given.get("align_corners")) and m > 1
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
    "constant_pad_nd", *(f"{kind}_pad{d}d" for kind in ("reflection", "replication") for d in "123")
)
def _pad(call: Call) -> Track | None:
    x, track = call.first()
    given = call.arguments
    amounts: list[int] = given["pad"] if "pad" in given else given["padding"]
    mirrored, copied = (given["__name__"].startswith(k) for k in ("reflection", "replication"))
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
    given = call.arguments
    dim = given["dimension"] % x.ndim
    window = Window(given["size"], given["step"])
    return along_dims(track, {dim: window_map(window, call.output.shape[dim])})
