"""How each tensor operation carries receptive fields from its inputs to its output.

A `Track` says, for each spatial axis of the network's input, which dimension of a tensor runs
along it (None: every element sees the same) and the field along it. Rules are kept by the name
of the operation in torch's own list (aten); element-by-element operations share one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch import Tensor

from striate.layers.geometry.field import AxisField, AxisMap, apply_map, whole, window_map
from striate.layers.window import Window

__all__ = ["RULES", "AxisTrack", "Call", "Track", "along_dims", "pointwise"]


@dataclass(frozen=True)
class AxisTrack:
    """Where one axis of the input is found in a tensor, and what is seen along it."""

    dim: int | None
    field: AxisField

    def merged(self) -> "AxisTrack":
        """The axis when elements can no longer be told apart along it."""
        return self if self.dim is None else AxisTrack(None, whole(self.field))

    def at(self, dim: int | None) -> "AxisTrack":
        """The same field along another dimension."""
        return self.merged() if dim is None else AxisTrack(dim, self.field)


Track = tuple[AxisTrack, ...]


@dataclass(frozen=True)
class Call:
    """One operation: its arguments by name, its output, and the tracks known so far."""

    arguments: dict[str, Any]
    output: Tensor
    track: Callable[[object], Track | None]
    pools: dict[int, tuple[Window, ...]]
    """Windows of max poolings by the identity of their indices, for unpooling."""

    def first(self) -> tuple[Tensor, Track | None]:
        tensor = next(iter(self.arguments.values()))
        return tensor, self.track(tensor)


Rule = Callable[[Call], Track | None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def keep(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return keep


def moved(track: Track | None, place: Callable[[int], int | None]) -> Track | None:
    """The track with each dimension where `place` says it went; None: merged."""
    if track is None:
        return None
    return tuple(a if a.dim is None else a.at(place(a.dim)) for a in track)


def along_dims(track: Track | None, maps: dict[int, AxisMap]) -> Track | None:
    """The track after a map along each of some dimensions."""
    if track is None:
        return None
    return tuple(
        AxisTrack(a.dim, apply_map(a.field, maps[a.dim])) if a.dim in maps else a for a in track
    )


def united(tracks: list[Track]) -> Track | None:
    """What elements see that read one element of each."""
    if not tracks:
        return None
    total = tracks[0]
    for track in tracks[1:]:
        total = tuple(
            AxisTrack(a.dim if a.dim is not None else b.dim, a.field.united(b.field))
            if a.dim == b.dim or None in (a.dim, b.dim)
            else AxisTrack(None, whole(a.field).united(whole(b.field)))
            for a, b in zip(total, track, strict=True)
        )
    return total


def pointwise(call: Call) -> Track | None:
    """Element by element, with broadcasting."""
    shape = call.output.shape
    found = []
    for value in _tensors(call.arguments.values()):
        ahead = len(shape) - value.ndim

        def place(dim: int, value: Tensor = value, ahead: int = ahead) -> int | None:
            same = 0 <= dim + ahead < len(shape) and value.shape[dim] == shape[dim + ahead]
            return dim + ahead if same else None

        track = moved(call.track(value), place)
        if track is not None:
            found.append(track)
    return united(found)


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(value)
    return found


def _numbers(value: Any, count: int, default: int) -> list[int]:
    """Torch's short forms of one number per axis."""
    if value is None or value == []:
        return [default] * count
    if isinstance(value, int):
        return [value] * count
    return list(value) * count if len(value) == 1 else list(value)


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
            _numbers(given["stride"], count, 1),
            _numbers(given["padding"], count, 0),
            _numbers(given["dilation"], count, 1),
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
        _numbers(stride, count, 1),
        _numbers(given.get("padding"), count, 0),
        _numbers(given.get("dilation"), count, 1),
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


@rule("mean", "sum", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp", "var_mean")
def _reduce(call: Call) -> Track | None:
    x, track = call.first()
    dims = call.arguments.get("dim")
    chosen = range(x.ndim) if dims is None or dims == [] else _numbers(dims, 1, 0)
    gone = {dim % x.ndim for dim in chosen}
    keep = bool(call.arguments.get("keepdim"))

    def place(dim: int) -> int | None:
        if dim in gone:
            return None
        return dim if keep else dim - sum(other < dim for other in gone)

    return moved(track, place)


@rule("_softmax", "_log_softmax", "cumsum")
def _along_one(call: Call) -> Track | None:
    x, track = call.first()
    mixed = call.arguments["dim"] % x.ndim
    return moved(track, lambda dim: None if dim == mixed else dim)


@rule("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "linear")
def _product(call: Call) -> Track | None:
    given = list(_tensors(call.arguments.values()))
    if call.arguments["__name__"] == "linear":
        track = call.track(given[0])
        return moved(track, lambda dim: None if dim == given[0].ndim - 1 else dim)
    left, right = given[-2:]
    columns = call.output.ndim - 1
    tracks = [
        moved(call.track(left), lambda dim: None if dim == left.ndim - 1 else dim),
        moved(
            call.track(right),
            lambda dim: (
                None if dim == max(right.ndim - 2, 0) else columns if dim == right.ndim - 1 else dim
            ),
        ),
    ]
    return united([track for track in tracks if track is not None])


@rule("cat", "stack")
def _cat(call: Call) -> Track | None:
    tensors = _tensors(call.arguments["tensors"])
    dim = call.arguments.get("dim", 0) % call.output.ndim
    known = [track for track in map(call.track, tensors) if track is not None]
    if call.arguments["__name__"] == "stack":
        known = [moved(t, lambda d: d + (d >= dim)) or () for t in known]
    elif any(a.dim == dim for track in known for a in track):
        return None
    return united(known)


@rule("view", "_unsafe_view", "reshape", "_reshape_alias")
def _view(call: Call) -> Track | None:
    x, track = call.first()
    old, new = list(x.shape), list(call.output.shape)

    def place(dim: int) -> int | None:
        """The new dimension with the same size and the same number of elements before it."""
        before = math.prod(old[:dim])
        for other, size in enumerate(new):
            if size == old[dim] and math.prod(new[:other]) == before:
                return other
        return None

    return moved(track, place)


@rule("permute", "transpose", "t", "numpy_T")
def _permute(call: Call) -> Track | None:
    x, track = call.first()
    order = list(range(x.ndim))
    given = call.arguments
    if "dims" in given:
        order = [dim % x.ndim for dim in given["dims"]]
    elif "dim0" in given:
        a, b = given["dim0"] % x.ndim, given["dim1"] % x.ndim
        order[a], order[b] = order[b], order[a]
    else:
        order.reverse()
    return moved(track, order.index)


@rule("unsqueeze")
def _unsqueeze(call: Call) -> Track | None:
    x, track = call.first()
    new = call.arguments["dim"] % (x.ndim + 1)
    return moved(track, lambda dim: dim + (dim >= new))


@rule("squeeze")
def _squeeze(call: Call) -> Track | None:
    x, track = call.first()
    dims = call.arguments.get("dim")
    chosen = range(x.ndim) if dims is None else [d % x.ndim for d in _numbers(dims, 1, 0)]
    gone = [dim for dim in chosen if x.shape[dim] == 1]
    return moved(
        track, lambda dim: None if dim in gone else dim - sum(other < dim for other in gone)
    )


@rule("slice", "narrow", "split", "split_with_sizes", "chunk")
def _slice(call: Call) -> Track | None:
    x, track = call.first()
    given = call.arguments
    chosen = (given.get("dim") or 0) % x.ndim
    if given["__name__"] != "slice":
        # Parts along the channels see what the whole sees; parts of an image are not followed.
        return None if any(a.dim == chosen for a in track or ()) else track
    start, step = given.get("start") or 0, given.get("step") or 1
    start = max(start + x.shape[chosen], 0) if start < 0 else start
    cut = AxisMap(lambda o: [start + o * step], call.output.shape[chosen], shift=step)
    return along_dims(track, {chosen: cut})


@rule("select", "unbind")
def _select(call: Call) -> Track | None:
    x, track = call.first()
    chosen = (call.arguments.get("dim") or 0) % x.ndim
    return moved(track, lambda dim: None if dim == chosen else dim - (dim > chosen))


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


@rule("embedding")
def _embedding(call: Call) -> Track | None:
    return call.track(call.arguments["indices"])


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
    "batch_norm",
    "native_group_norm",
    "native_layer_norm",
    "_fused_rms_norm",
)
def _normalise(call: Call) -> Track | None:
    """Statistics over the image are left out, as papers do: each element sees itself."""
    return call.first()[1]


@rule(
    "clone",
    "contiguous",
    "_to_copy",
    "detach",
    "alias",
    "expand",
    "native_dropout",
    "prelu",
    "_prelu_kernel",
    "copy",
    "lift_fresh",
    "hardtanh",
    "dropout",
)
def _same(call: Call) -> Track | None:
    x, track = call.first()
    ahead = call.output.ndim - x.ndim
    return moved(
        track,
        lambda dim: dim + ahead if call.output.shape[dim + ahead] == x.shape[dim] else None,
    )
