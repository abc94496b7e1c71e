"""Rules of the operations that move, merge or join whole axes: products, sums, views, slices."""

import math

from striate.layers.geometry.field import AxisMap
from striate.layers.geometry.track import (
    Call,
    Track,
    along_dims,
    chosen_by_data,
    moved,
    numbers,
    rule,
    tensors,
    united,
)


@rule("mean sum amax amin max min var std prod logsumexp var_mean")
def _reduce(call: Call) -> Track | None:
    x, track = call.first()
    dims = call.arguments.get("dim")
    chosen = range(x.ndim) if dims is None or dims == [] else numbers(dims, 1, 0)
    gone = {dim % x.ndim for dim in chosen}
    keep = bool(call.arguments.get("keepdim"))

    def new_dim(dim: int) -> int | None:
        if dim in gone:
            return None
        return dim if keep else dim - sum(other < dim for other in gone)

    return moved(track, new_dim)


@rule("_softmax _log_softmax _safe_softmax cumsum")
def _along_one(call: Call) -> Track | None:
    x, track = call.first()
    mixed = call.arguments["dim"] % x.ndim
    return moved(track, lambda dim: None if dim == mixed else dim)


@rule("mm addmm bmm baddbmm mv addmv dot linear")
def _product(call: Call) -> Track | None:
    factors = tensors(call.arguments)
    is_linear = call.arguments["__name__"] == "linear"
    left, right = factors[:2] if is_linear else factors[-2:]
    rows = moved(call.track(left), lambda dim: None if dim == left.ndim - 1 else dim)
    if is_linear:
        return rows

    def new_dim(dim: int) -> int | None:
        if dim == max(right.ndim - 2, 0):
            return None
        return call.output.ndim - 1 if dim == right.ndim - 1 else dim

    columns = moved(call.track(right), new_dim)
    return united([track for track in (rows, columns) if track is not None])


@rule("cat stack")
def _cat(call: Call) -> Track | None:
    parts = tensors(call.arguments["tensors"])
    dim = call.arguments.get("dim", 0) % call.output.ndim
    known = [track for track in map(call.track, parts) if track is not None]
    if call.arguments["__name__"] == "stack":
        known = [moved(t, lambda d: d + (d >= dim)) or () for t in known]
    elif any(a.dim == dim for track in known for a in track):
        return None
    return united(known)


@rule("view _unsafe_view reshape _reshape_alias")
def _view(call: Call) -> Track | None:
    x, track = call.first()
    old, new = list(x.shape), list(call.output.shape)

    def new_dim(dim: int) -> int | None:
        """The new dimension with the same size and the same number of elements before it."""
        before = math.prod(old[:dim])
        for other, size in enumerate(new):
            if size == old[dim] and math.prod(new[:other]) == before:
                return other
        return None

    return moved(track, new_dim)


@rule("permute transpose t numpy_T")
def _permute(call: Call) -> Track | None:
    x, track = call.first()
    order = list(range(x.ndim))
    arguments = call.arguments
    if "dims" in arguments:
        order = [dim % x.ndim for dim in arguments["dims"]]
    elif "dim0" in arguments:
        a, b = arguments["dim0"] % x.ndim, arguments["dim1"] % x.ndim
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
    chosen = range(x.ndim) if dims is None else [d % x.ndim for d in numbers(dims, 1, 0)]
    gone = [dim for dim in chosen if x.shape[dim] == 1]
    return moved(
        track, lambda dim: None if dim in gone else dim - sum(other < dim for other in gone)
    )


@rule("slice narrow split split_with_sizes chunk")
def _slice(call: Call) -> Track | None:
    x, track = call.first()
    arguments = call.arguments
    chosen = (arguments.get("dim") or 0) % x.ndim
    if arguments["__name__"] != "slice":
        # Parts along the channels see what the whole sees; parts of an image are not followed.
        return None if any(a.dim == chosen for a in track or ()) else track
    start, step = arguments.get("start") or 0, arguments.get("step") or 1
    start = max(start + x.shape[chosen], 0) if start < 0 else start
    cut = AxisMap(lambda o: [start + o * step], call.output.shape[chosen], shift=step)
    return along_dims(track, {chosen: cut})


@rule("select unbind")
def _select(call: Call) -> Track | None:
    x, track = call.first()
    chosen = (call.arguments.get("dim") or 0) % x.ndim
    return moved(track, lambda dim: None if dim == chosen else dim - (dim > chosen))


@rule("gather index_select")
def _gather(call: Call) -> Track | None:
    x, track = call.first()
    if track is None:
        return None
    mixed = call.arguments["dim"] % x.ndim
    cut = {dim for dim in range(x.ndim) if call.output.shape[dim] != x.shape[dim]} - {mixed}
    if any(axis.dim in cut for axis in track):
        return None
    if not any(axis.dim == mixed for axis in track):
        return track
    return chosen_by_data(moved(track, lambda dim: None if dim == mixed else dim))


@rule("index")
def _index(call: Call) -> Track | None:
    """One list of positions along one dimension; more at once are not followed."""
    track = call.first()[1]
    given = [(dim, at) for dim, at in enumerate(call.arguments["indices"]) if at is not None]
    if track is None or len(given) != 1 or given[0][1].ndim != 1:
        return None
    mixed = given[0][0]
    if not any(axis.dim == mixed for axis in track):
        return track
    return chosen_by_data(moved(track, lambda dim: None if dim == mixed else dim))


@rule("embedding")
def _embedding(call: Call) -> Track | None:
    return call.track(call.arguments["indices"])


@rule(
    "native_batch_norm _native_batch_norm_legit_no_training _native_batch_norm_legit "
    "batch_norm native_group_norm native_layer_norm _fused_rms_norm"
)
def _normalise(call: Call) -> Track | None:
    """Statistics over the image are left out, as papers do: each element sees itself."""
    return call.first()[1]


@rule(
    "clone contiguous _to_copy detach alias expand native_dropout prelu _prelu_kernel copy "
    "lift_fresh hardtanh dropout"
)
def _same(call: Call) -> Track | None:
    x, track = call.first()
    ahead = call.output.ndim - x.ndim
    return moved(
        track, lambda dim: dim + ahead if call.output.shape[dim + ahead] == x.shape[dim] else None
    )
