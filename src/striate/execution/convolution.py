"""The convolutions of a network and the fastest method of each, direction by direction."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from striate import kernels
from striate.execution import store
from striate.execution.timing import Timing, race
from striate.randomness import kept_generators
from striate.typed_json import JsonRecord

DIRECTIONS = ("forward", "data", "weight")
_PLAIN = "torch"
_MARGIN = 0.97
"""A method must be this much faster than torch's to be taken: below, it is noise."""
_CALL_SECONDS = 0.01
"""Length of a timed call: far above the clock's and the thread pool's noise."""
_RATE = 3e10
"""Multiply-adds a second of an ordinary core, to guess how large a measured batch may be."""
_LEAST_PIXELS = 4096
"""Fewest output pixels of a measured call, if the batch has them: with fewer, what a method pays
once a call (transformed weights) weighs more than it will in training."""


@dataclass(frozen=True)
class Convolution:
    """One convolution of a network and the shapes that it is called with."""

    name: str
    geometry: kernels.Geometry
    learns: bool
    """Whether its weights take a gradient."""
    passes_on: bool
    """Whether its input takes a gradient."""

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the forward pass of the whole batch."""
        return math.prod(self.geometry.output) * math.prod(self.geometry.weight[1:])

    @property
    def least_batch(self) -> int:
        """Fewest images in a measured call that shows how the whole batch will fare."""
        pixels = math.prod(self.geometry.output[2:])
        wanted = max(2 * torch.get_num_threads(), math.ceil(_LEAST_PIXELS / pixels))
        return min(self.geometry.x[0], wanted)

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions that a training step computes."""
        needed = (True, self.passes_on, self.learns)
        return tuple(name for name, is_needed in zip(DIRECTIONS, needed, strict=True) if is_needed)

    def of_batch(self, batch: int) -> "Convolution":
        """The convolution of another number of images."""
        return replace(self, geometry=replace(self.geometry, x=(batch, *self.geometry.x[1:])))

    def key(self) -> dict[str, Any]:
        """The values that its speed depends on."""
        return {**asdict(self.geometry), "directions": self.directions}


@dataclass(frozen=True)
class MeasuredMethods(JsonRecord):
    """The fastest methods of one geometry."""

    chosen: str
    """ "forward,data,weight"."""
    batch: int
    """Images in the measured calls."""
    timings: Mapping[str, Mapping[str, Timing]]
    """Direction -> method -> seconds."""


def observe(
    network: nn.Module,
    batch_shape: tuple[int, ...],
    layers: Iterable[nn.Module],
    note: Callable[[Any, tuple[Any, ...], Any], None],
) -> int:
    """Call `note(layer, inputs, output)` for each call of the layers in one forward pass.

    The network runs in evaluation mode on one or two black images; modes and randomness are as
    before afterwards.

    Returns:
        The number of images.
    """
    weight = next(network.parameters(), torch.empty(0))
    count = min(2, batch_shape[0])
    images = torch.zeros((count, *batch_shape[1:]), device=weight.device, dtype=weight.dtype)
    with ExitStack() as stack, kept_generators():
        for module in network.modules():
            stack.callback(setattr, module, "training", module.training)
        for layer in layers:
            stack.callback(layer.register_forward_hook(note).remove)
        network.eval()(images)
    return count


def convolutions(network: nn.Module, batch_shape: tuple[int, ...]) -> list[Convolution]:
    """The convolutions that a network calls, in order; it runs once on two images.

    A layer that is called with several shapes is listed with the largest.

    Args:
        network: Module, in evaluation mode for the call, then as it was.
        batch_shape: Shape (B, C, *S) of the training batches.
    """
    noted: dict[str, Convolution] = {}
    names = {module: name for name, module in network.named_modules()}
    probe = min(2, batch_shape[0])

    def note(module: Any, inputs: tuple[Any, ...], output: object) -> None:
        x = inputs[0]
        if not isinstance(x, Tensor) or x.ndim != 4 or isinstance(module.padding, str):
            return
        shape = (x.shape[0] * batch_shape[0] // probe, *x.shape[1:])
        steps = (tuple(module.stride), tuple(module.padding), tuple(module.dilation))
        geometry = kernels.Geometry(shape, tuple(module.weight.shape), *steps, module.groups)
        learns = module.weight.requires_grad
        one = Convolution(names[module], geometry, learns, passes_on=x.requires_grad)
        before = noted.get(one.name)
        if before is None or before.multiply_adds < one.multiply_adds:
            noted[one.name] = one

    layers = [m for m in network.modules() if type(m) is nn.Conv2d and m.padding_mode == "zeros"]
    with torch.enable_grad():
        observe(network, batch_shape, layers, note)
    return list(noted.values())


def measure_methods(
    layers: list[Convolution],
    seconds: float,
    notes: list[str],
    *,
    fresh: bool = False,
) -> dict[str, MeasuredMethods]:
    """The fastest methods of each layer by name, measured once for each geometry.

    The most expensive geometries come first; those for which the time does not suffice get the
    guess of `kernels.default_methods` and no timings.

    Args:
        layers: Convolutions of a network.
        seconds: Time for all of them.
        notes: Gets sentences about files of earlier measurements.
        fresh: Whether known geometries are measured again.
    """
    groups: dict[str, list[Convolution]] = {}
    for layer in layers:
        groups.setdefault(str(layer.key()), []).append(layer)
    order = sorted(groups.values(), key=lambda same: -same[0].multiply_adds * len(same))
    total = sum(same[0].multiply_adds for same in order) or 1
    began, methods = perf_counter(), {}
    for same in order:
        layer = same[0]
        question = {"geometry": layer.key(), "machine": store.machine(torch.device("cpu"))}
        kept = None if fresh else store.read(question, notes)
        left = seconds - (perf_counter() - began)
        share = max(0.3 * seconds / len(order), seconds * layer.multiply_adds / total)
        result = None if kept is None else MeasuredMethods.from_json(kept)
        if result is None or result.batch < layer.least_batch:
            result = _measure(layer, min(left, share)) if left > 0 else None
            if result is not None:
                store.write(question, result.to_json(), notes)
        if result is None:
            result = MeasuredMethods(kernels.default_methods(layer.geometry), 0, {})
        methods.update({one.name: result for one in same})
    return {layer.name: methods[layer.name] for layer in layers}


def _measure(layer: Convolution, seconds: float) -> MeasuredMethods | None:
    """Race the methods of each direction, on as many images as make a call worth timing.

    None if the time is too short for calls of a useful length.
    """
    candidates = {str(d): names for d, names in kernels.candidates(layer.geometry).items()}
    calls = sum(len(candidates[d]) for d in layer.directions) * 3
    affordable = seconds / max(1, calls) * _RATE * torch.get_num_threads()
    wanted = min(affordable, _CALL_SECONDS * _RATE * torch.get_num_threads())
    each = layer.multiply_adds / layer.geometry.x[0]
    if layer.least_batch * each > affordable:
        return None
    batch = max(layer.least_batch, min(layer.geometry.x[0], round(wanted / max(each, 1))))
    chosen, timings = dict.fromkeys(DIRECTIONS, _PLAIN), {}
    for direction in layer.directions:
        names = list(dict.fromkeys([_PLAIN, *candidates[direction]]))
        if len(names) == 1:
            continue
        entrants = {name: _call(layer.of_batch(batch), direction, name) for name in names}
        times = race(entrants, seconds / len(layer.directions))
        timings[direction] = times
        best = min(times, key=lambda name: times[name].best)
        if times[best].best < _MARGIN * times[_PLAIN].best:
            chosen[direction] = best
    return MeasuredMethods(",".join(chosen.values()), batch, timings)


def _call(layer: Convolution, direction: str, method: str) -> Callable[[], object]:
    """One direction of a convolution by one method, on noise."""
    methods = ",".join(method if name == direction else _PLAIN for name in DIRECTIONS)
    draw = torch.Generator().manual_seed(0)

    def noise(shape: Sequence[int]) -> Tensor:
        values = torch.randn(shape, generator=draw)
        return values.contiguous(memory_format=torch.channels_last)

    own = layer.geometry
    x, weight = noise(own.x), noise(own.weight)
    rest = (None, own.stride, own.padding, own.dilation, own.groups, methods)
    if direction == "forward":
        return torch.no_grad()(lambda: kernels.convolution(x, weight, *rest))
    source = (x if direction == "data" else weight).requires_grad_()
    with torch.enable_grad():
        y = kernels.convolution(x, weight, *rest)
    p = noise(y.shape)
    return lambda: torch.autograd.grad(y, source, p, retain_graph=True)
