"""The convolutions of a network and the fastest method of each, direction by direction."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate.execution.native import operator
from striate.execution.store import Store, machine
from striate.execution.timing import Timing, race

__all__ = [
    "DIRECTIONS",
    "Convolution",
    "MeasuredMethods",
    "convolutions",
    "evaluating",
    "measure_methods",
    "probe_images",
]

DIRECTIONS = ("forward", "data", "weight")
_PLAIN = "torch"
_MARGIN = 0.97
"""A method must be this much faster than torch's to be taken: below, it is noise."""
_CALL_SECONDS = 0.01
"""What a timed call should last: far above the clock's and the thread pool's noise."""
_RATE = 3e10
"""Multiply-adds a second of an ordinary core, to guess how large a measured batch may be."""
_LEAST_PIXELS = 4096
"""Output pixels of a measured call at least, if the batch has them: with fewer, what a method pays
once a call (transformed weights) weighs more than it will in training."""


@dataclass(frozen=True)
class Convolution:
    """One convolution of a network with what came in."""

    name: str
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    learns: bool
    """Whether its weights take a gradient."""
    passes_on: bool
    """Whether its input takes a gradient."""

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the forward pass of the whole batch."""
        count = self.input_shape[0] * self.weight_shape[0] * self.weight_shape[1]
        for axis, length in enumerate(self.input_shape[2:]):
            reach = self.dilation[axis] * (self.weight_shape[2 + axis] - 1) + 1
            count *= (length + 2 * self.padding[axis] - reach) // self.stride[axis] + 1
            count *= self.weight_shape[2 + axis]
        return count

    @property
    def pixels(self) -> int:
        """Number of pixels of one image's output."""
        per_pixel = math.prod(self.weight_shape)
        return self.multiply_adds // (self.input_shape[0] * per_pixel)

    @property
    def telling_batch(self) -> int:
        """Images that a measured call needs at least to tell how the whole batch will fare."""
        wanted = max(2 * torch.get_num_threads(), math.ceil(_LEAST_PIXELS / self.pixels))
        return min(self.input_shape[0], wanted)

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that a training step computes."""
        needed = (True, self.passes_on, self.learns)
        return tuple(name for name, is_needed in zip(DIRECTIONS, needed, strict=True) if is_needed)

    def of_batch(self, batch: int) -> "Convolution":
        """This geometry with another number of images."""
        return replace(self, input_shape=(batch, *self.input_shape[1:]))

    def geometry(self) -> Any:
        """As the kernels describe it."""
        from striate import kernels

        names = ("input_shape", "weight_shape", "stride", "padding", "dilation", "groups")
        sizes: Any = tuple(getattr(self, name) for name in names)
        return kernels.Geometry(*sizes)

    def key(self) -> dict[str, Any]:
        """The key under which a measured speed is kept."""
        names = ("input_shape", "weight_shape", "stride", "padding", "dilation", "groups")
        return {**{name: getattr(self, name) for name in names}, "directions": self.directions}


@dataclass(frozen=True)
class MeasuredMethods:
    """The fastest methods measured for one geometry."""

    chosen: str
    """ "forward,data,weight"."""
    batch: int
    """Images in the measured calls."""
    timings: Mapping[str, Mapping[str, Timing]]
    """Direction -> method -> seconds."""


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode inside the block, chance and modes as before afterwards."""
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.random.fork_rng(devices=[]):
            network.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def probe_images(network: nn.Module, count: int, batch_shape: tuple[int, ...]) -> Tensor:
    """A few black images for a look at the shapes inside, on the network's device."""
    weight = next(network.parameters(), torch.empty(0))
    return torch.zeros((count, *batch_shape[1:]), device=weight.device, dtype=weight.dtype)


def convolutions(network: nn.Module, batch_shape: tuple[int, ...]) -> list[Convolution]:
    """The convolutions that a network calls, in order; it runs once on two images.

    A layer that is called with several shapes is listed with the largest.

    Args:
        network: in evaluation mode for the call, then as it was.
        batch_shape: (B, C, *S) of the training.
    """
    found: dict[str, Convolution] = {}
    names = {module: name for name, module in network.named_modules()}
    probe = min(2, batch_shape[0])

    def note(module: Any, given: tuple[Any, ...]) -> None:
        x = given[0]
        if not isinstance(x, Tensor) or x.ndim != 4 or isinstance(module.padding, str):
            return
        one = Convolution(
            names[module],
            input_shape=(x.shape[0] * batch_shape[0] // probe, *x.shape[1:]),
            weight_shape=tuple(module.weight.shape),
            stride=tuple(module.stride),
            padding=tuple(module.padding),
            dilation=tuple(module.dilation),
            groups=module.groups,
            learns=module.weight.requires_grad,
            passes_on=x.requires_grad,
        )
        before = found.get(one.name)
        if before is None or before.multiply_adds < one.multiply_adds:
            found[one.name] = one

    layers = [m for m in network.modules() if type(m) is nn.Conv2d and m.padding_mode == "zeros"]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        with torch.enable_grad(), evaluating(network):
            network(probe_images(network, probe, batch_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())


def measure_methods(
    layers: list[Convolution],
    seconds: float,
    *,
    store: Store,
    fresh: bool = False,
    race: Callable[..., dict[str, Timing]] = race,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, MeasuredMethods]:
    """The fastest methods of each layer by name, measured once for each geometry.

    The dearest geometries come first; those for which the time does not suffice get the guess of
    `kernels.default_methods` and no timings.

    Args:
        layers: as `convolutions` gives them.
        seconds: for all of them.
        store: of what was measured before.
        fresh: measure again what is known.
        race: times the entrants.
        clock: gives seconds.
    """
    from striate import kernels

    groups: dict[str, list[Convolution]] = {}
    for layer in layers:
        groups.setdefault(str(layer.key()), []).append(layer)
    order = sorted(groups.values(), key=lambda same: -same[0].multiply_adds * len(same))
    total = sum(same[0].multiply_adds for same in order) or 1
    began, found = clock(), {}
    for same in order:
        layer = same[0]
        question = {"geometry": layer.key(), "machine": machine(torch.device("cpu"))}
        kept = None if fresh else store.read(question)
        left = seconds - (clock() - began)
        share = max(0.3 * seconds / len(order), seconds * layer.multiply_adds / total)
        result = None if kept is None else _from_json(kept)
        if result is None or result.batch < layer.telling_batch:
            result = _measure(layer, min(left, share), race) if left > 0 else None
            if result is not None:
                store.write(question, _to_json(result))
        if result is None:
            result = MeasuredMethods(kernels.default_methods(layer.geometry()), 0, {})
        found.update({one.name: result for one in same})
    return {layer.name: found[layer.name] for layer in layers}


def _measure(
    layer: Convolution, seconds: float, race: Callable[..., dict[str, Timing]]
) -> MeasuredMethods | None:
    """Race the methods of each direction, on as many images as make a call worth timing.

    None if the time is too short for calls that would tell anything.
    """
    from striate import kernels

    candidates = {str(d): names for d, names in kernels.candidates(layer.geometry()).items()}
    calls = sum(len(candidates[d]) for d in layer.directions) * 3
    affordable = seconds / max(1, calls) * _RATE * torch.get_num_threads()
    wanted = min(affordable, _CALL_SECONDS * _RATE * torch.get_num_threads())
    each = layer.multiply_adds / layer.input_shape[0]
    if layer.telling_batch * each > affordable:
        return None
    batch = max(layer.telling_batch, min(layer.input_shape[0], round(wanted / max(each, 1))))
    small = layer.of_batch(batch)
    chosen, timings = [], {}
    for direction in DIRECTIONS:
        if direction not in layer.directions:
            chosen.append(_PLAIN)
            continue
        names = list(dict.fromkeys([_PLAIN, *candidates[direction]]))
        if len(names) == 1:
            chosen.append(_PLAIN)
            continue
        entrants = {name: _call(small, direction, name) for name in names}
        times = race(entrants, seconds / len(layer.directions))
        timings[direction] = times
        best = min(times, key=lambda name: times[name].best)
        chosen.append(best if times[best].best < _MARGIN * times[_PLAIN].best else _PLAIN)
    return MeasuredMethods(",".join(chosen), batch, timings)


def _call(layer: Convolution, direction: str, method: str) -> Callable[[], object]:
    """One direction of a convolution by one method, on noise."""
    convolution = operator("convolution")
    methods = ",".join(method if name == direction else _PLAIN for name in DIRECTIONS)
    if convolution is None:
        raise RuntimeError("methods are measured only where the kernels are")
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(layer.input_shape, generator=draw)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(layer.weight_shape, generator=draw)
    weight = weight.contiguous(memory_format=torch.channels_last)
    rest = (None, layer.stride, layer.padding, layer.dilation, layer.groups, methods)
    if direction == "forward":

        def ahead() -> object:
            with torch.no_grad():
                return convolution(x, weight, *rest)

        return ahead
    source = (x if direction == "data" else weight).requires_grad_()
    with torch.enable_grad():
        y = convolution(x, weight, *rest)
    p = torch.randn(y.shape, generator=draw).contiguous(memory_format=torch.channels_last)
    return lambda: torch.autograd.grad(y, source, p, retain_graph=True)


def _to_json(result: MeasuredMethods) -> dict[str, Any]:
    return {
        "chosen": result.chosen,
        "batch": result.batch,
        "timings": {
            direction: {name: [t.best, t.median, t.worst, t.num_turns] for name, t in of.items()}
            for direction, of in result.timings.items()
        },
    }


def _from_json(value: Mapping[str, Any]) -> MeasuredMethods:
    timings = {
        direction: {name: Timing(*numbers) for name, numbers in of.items()}
        for direction, of in value["timings"].items()
    }
    return MeasuredMethods(value["chosen"], value["batch"], timings)
