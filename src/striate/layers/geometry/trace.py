"""A network run once without arithmetic, watched operation by operation.

The network is copied onto torch's "meta" device, where tensors have shapes and no values, and
run in evaluation mode. Watching operations rather than rewriting the code follows branches,
skips, reused modules and functional calls, and any control flow that asks for shapes.
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import ShapeError, StriateError
from striate.layers.geometry import reshaping  # noqa: F401  fills the table of rules
from striate.layers.geometry.field import AxisField, window_map
from striate.layers.geometry.sliding import pool_windows
from striate.layers.geometry.track import (
    RULES,
    AxisTrack,
    Call,
    Track,
    along_dims,
    pointwise,
    tensors,
)
from striate.layers.window import Window

BATCH = 2
"""Items in the watched batch; not 1, which `squeeze` would take for an axis to drop."""


@dataclass
class LayerRow:
    """One call of one layer; the numbers are for one item."""

    name: str
    """Name of `named_modules`; a module that is called twice has two rows."""
    kind: str
    output_shape: tuple[int, ...] = ()
    """Without the batch."""
    parameters: int = 0
    """Parameters of the layer itself, at its first call; 0 afterwards."""
    multiply_adds: int = 0
    """Multiply-adds of products and convolutions, without biases, norms and activations."""
    track: Track | None = None

    @property
    def field_size(self) -> tuple[int, ...] | None:
        """Receptive field per axis, input pixels; None: it could not be followed."""
        return None if self.track is None else tuple(axis.field.size for axis in self.track)

    @property
    def field_stride(self) -> tuple[float, ...] | None:
        """Input pixels from one unit to the next; 0: every unit sees the same."""
        return None if self.track is None else tuple(float(a.field.stride) for a in self.track)

    @property
    def field_centre(self) -> tuple[float, ...] | None:
        """Middle of the field of unit 0, input pixels."""
        return None if self.track is None else tuple(axis.field.centre for axis in self.track)


@dataclass
class Trace:
    """All calls of a network's layers in order, and the fields of its outputs."""

    steps: list[LayerRow] = field(default_factory=list)
    output: Track | None = None
    lost_at: str | None = None
    """The first operation through which fields could not be followed."""


def trace(network: nn.Module, input_shape: tuple[int, ...]) -> Trace:
    """A record of a network that runs on one item of a shape.

    Args:
        network: Module that takes one tensor (B, *input_shape); left as it was.
        input_shape: Shape (C, *S), without the batch.

    Raises:
        ShapeError: an input that the network cannot take.
    """
    try:
        return _watched(_copy_to_meta(network), input_shape, torch.device("meta"))
    except StriateError:
        raise
    except (RuntimeError, NotImplementedError):
        # Something needs values: an operation without a meta form, a constant on another device.
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        try:
            return _watched(copy.deepcopy(network), input_shape, device)
        except RuntimeError as error:
            raise ShapeError(
                f"{type(network).__name__} cannot take an input of shape {input_shape} "
                f"(channels first, without the batch): {error}"
            ) from error


def _copy_to_meta(network: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have no values, so that no memory is taken."""
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo)


def _watched(network: nn.Module, input_shape: tuple[int, ...], device: torch.device) -> Trace:
    dtype = next(
        (p.dtype for p in network.parameters() if p.is_floating_point()), torch.get_default_dtype()
    )
    x = torch.zeros((BATCH, *input_shape), dtype=dtype, device=device)
    fields = map(AxisField.of_input, input_shape[1:])
    watcher = _Watcher()
    watcher.know(x, tuple(AxisTrack(axis, field) for axis, field in enumerate(fields, start=2)))
    network.eval()
    with torch.no_grad(), watcher.listening(network), watcher:
        y = network(x)
    result = watcher.trace
    result.output = watcher.track(_first_tensor(y))
    return result


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation with its tensors, and each module's beginning and end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self._known: dict[int, tuple[Tensor, Track]] = {}
        self._pools: dict[int, tuple[Window, ...]] = {}
        self._kept: list[Any] = []  # an identity is only good while its tensor lives
        self._open: list[LayerRow] = []
        self._counted: set[int] = set()
        self._quiet = 0

    def know(self, tensor: Tensor, track: Track) -> None:
        self._known[id(tensor)] = (tensor, track)

    def track(self, tensor: object) -> Track | None:
        return self._known.get(id(tensor), (None, None))[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        self._kept.append((args, output))
        if not self._quiet:
            names = [argument.name for argument in func._schema.arguments]
            self._follow(func, {**dict(zip(names, args, strict=False)), **kwargs}, tensors(output))
        return output

    def _follow(self, func: Any, arguments: dict[str, Any], outputs: list[Tensor]) -> None:
        name = func._schema.name.removeprefix("aten::")
        if name.endswith("_") and not name.startswith("_"):
            name = name.removesuffix("_")
        if not outputs:
            return
        if self._open:
            self._open[-1].multiply_adds += _multiply_adds(name, arguments, outputs[0]) // BATCH
        if name.startswith("max_pool") and len(outputs) > 1:
            self._pools[id(outputs[1])] = pool_windows(arguments)
        if all(self.track(tensor) is None for tensor in tensors(arguments)):
            return
        rule = RULES.get(name, pointwise if torch.Tag.pointwise in func.tags else None)
        track = None
        if rule is not None:
            arguments["__name__"] = name
            track = rule(Call(arguments, outputs[0], self.track, self._pools))
        if track is None:
            self._known.pop(id(outputs[0]), None)
            where = f"{name} in {self._open[-1].name or 'the network'}" if self._open else name
            self.trace.lost_at = self.trace.lost_at or where
            return
        is_split = name in ("split", "split_with_sizes", "chunk", "unbind")
        for tensor in outputs if is_split else outputs[:1]:
            self.know(tensor, track)

    @contextmanager
    def listening(self, network: nn.Module) -> Iterator[None]:
        """Hooks on every module, all of them taken off at the end."""
        with ExitStack() as stack:
            for name, module in network.named_modules():
                before = module.register_forward_pre_hook(partial(self._enter, name))
                stack.enter_context(before)
                stack.enter_context(module.register_forward_hook(self._leave))
            yield

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._open.append(LayerRow(name, type(module).__name__))
        if _has_own_geometry(module):
            self._quiet += 1

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        step = self._open.pop()
        tensor = _first_tensor(output)
        if _has_own_geometry(module):
            self._quiet -= 1
            self._follow_module(module, _first_tensor(inputs), tensor, step)
        if id(module) not in self._counted:
            self._counted.add(id(module))
            own = module.parameters(recurse=False)
            fresh = [p for p in own if id(p) not in self._counted]
            self._counted.update(map(id, fresh))
            step.parameters = sum(p.numel() for p in fresh)
        if not list(module.children()) or step.multiply_adds or step.parameters:
            step.output_shape = tuple(tensor.shape[1:]) if tensor is not None else ()
            step.track = self.track(tensor)
            self.trace.steps.append(step)

    def _follow_module(
        self, module: nn.Module, x: Tensor | None, y: Tensor | None, step: LayerRow
    ) -> None:
        """One of our layers: what it takes is known from its windows."""
        track = self.track(x)
        if track is not None and x is not None and y is not None:
            axes: tuple[Window, ...] = module.axes  # type: ignore[assignment]
            start = y.ndim - len(axes)
            maps = {start + i: window_map(w, y.shape[start + i]) for i, w in enumerate(axes)}
            self.know(y, along_dims(track, maps) or ())
        count = getattr(module, "multiply_adds", None)
        if count is not None:
            step.multiply_adds = count()


def _has_own_geometry(module: nn.Module) -> bool:
    return isinstance(getattr(module, "axes", None), tuple)


def _first_tensor(value: Any) -> Tensor | None:
    return next(iter(tensors(value)), None)


def _multiply_adds(name: str, arguments: dict[str, Any], output: Tensor) -> int:
    """Multiply-adds of an operation on the whole batch; additions of a bias are not counted."""
    if name in ("convolution", "_convolution"):
        side = arguments["input"] if arguments["transposed"] else output
        return int(arguments["weight"].numel() * side.shape[0] * side[0, 0].numel())
    if name in ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot"):
        return int(output.numel() * tensors(arguments)[-2].shape[-1])
    if name == "linear":
        return int(output.numel() * arguments["input"].shape[-1])
    return 0
