"""A network run once without arithmetic, watched operation by operation.

The network is copied onto torch's "meta" device, where tensors have shapes and no values, and
run in evaluation mode. Watching operations rather than rewriting the code follows branches,
skips, reused modules and functional calls, and any control flow that asks for shapes.
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import ShapeError, StriateError
from striate.layers.geometry import reshaping  # noqa: F401  fills the table of rules
from striate.layers.geometry.counting import moves_numbers, multiply_adds, num_bytes
from striate.layers.geometry.field import AxisField, window_map
from striate.layers.geometry.reads import Reads
from striate.layers.geometry.row import Block, LayerRow, Trace
from striate.layers.geometry.sliding import pool_windows, sliding_windows
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
    watcher.finish(y)
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
        self._starts: list[int] = []
        self._counted: set[int] = set()
        self._owners: dict[int, str] = {}
        self._varying: set[int] = set()
        self._reads = Reads()
        self._readers: dict[int, LayerRow] = {}
        self._quiet = 0

    def know(self, tensor: Tensor, track: Track) -> None:
        self._known[id(tensor)] = (tensor, track)
        self._varying.add(id(tensor))

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
            self._count(func, name, arguments, outputs)
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

    def _count(
        self, func: Any, name: str, arguments: dict[str, Any], outputs: list[Tensor]
    ) -> None:
        """Enter what the operation costs, and what it reads, for the innermost module."""
        inputs, row = tensors(arguments), self._open[-1]
        count = multiply_adds(func, name, arguments, outputs[0])
        row.multiply_adds += (count or 0) // BATCH
        if count is None and name not in row.uncounted:
            row.uncounted = (*row.uncounted, name)
        running = {open_row.name for open_row in self._open}
        for parameter in inputs:
            owner = self._owners.get(id(parameter))
            if owner is not None and owner not in running and id(parameter) not in self._counted:
                self._counted.add(id(parameter))
                row.parameters += parameter.numel()
        varying = [tensor for tensor in inputs if id(tensor) in self._varying]
        if varying:
            self._varying.update(map(id, outputs))
        if moves_numbers(func, name):
            written = num_bytes(*outputs)
            constant = [tensor for tensor in inputs if id(tensor) not in self._varying]
            row.image_bytes += (num_bytes(*varying) + written * bool(varying)) // BATCH
            row.weight_bytes += num_bytes(*constant) + written * (not varying)
        axes = sliding_windows(name, arguments)
        for tensor in varying:
            if axes and tensor is inputs[0]:
                shape = outputs[0].shape[outputs[0].ndim - len(axes) :]
                self._reads.by_windows(tensor, axes, shape, id(row))
                self._readers[id(row)] = row
            elif tensor is not outputs[0]:
                self._reads.whole(tensor)

    def finish(self, output: object) -> None:
        """Enter what can only be known at the end."""
        for tensor in tensors(output):
            self._reads.whole(tensor)
        for reader, unread in self._reads.unread().items():
            self._readers[reader].unread = unread

    @contextmanager
    def listening(self, network: nn.Module) -> Iterator[None]:
        """Hooks on every module, all of them taken off at the end."""
        with ExitStack() as stack:
            for name, module in network.named_modules():
                own = module.parameters(recurse=False)
                self._owners.update((id(parameter), name) for parameter in own)
                enter = partial(self._enter, name)
                # Before a person's own hooks: what they compute belongs to the module.
                stack.enter_context(module.register_forward_pre_hook(enter, prepend=True))
                stack.enter_context(module.register_forward_hook(self._leave))
            yield

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._open.append(LayerRow(name, type(module).__name__))
        self._starts.append(len(self.trace.steps))
        if _has_own_geometry(module):
            self._quiet += 1

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        step, start = self._open.pop(), self._starts.pop()
        tensor = _first_tensor(output)
        if _has_own_geometry(module):
            self._quiet -= 1
            self._follow_module(module, _first_tensor(inputs), tensor, step)
        if id(module) not in self._counted:
            self._counted.add(id(module))
            own = module.parameters(recurse=False)
            fresh = [p for p in own if id(p) not in self._counted]
            self._counted.update(map(id, fresh))
            step.parameters += sum(p.numel() for p in fresh)
        step.output_shape = tuple(tensor.shape[1:]) if tensor is not None else ()
        step.track = self.track(tensor)
        is_block = bool(list(module.children()))
        if not is_block or step.multiply_adds or step.parameters or step.uncounted:
            self.trace.steps.append(step)
        if is_block:
            self.trace.blocks.append(Block(step, start, len(self.trace.steps)))

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
            if axes:
                self._reads.by_windows(x, axes, y.shape[start:], id(step))
                self._readers[id(step)] = step
            elif y is not x:
                self._reads.whole(x)
        if x is not None and y is not None:
            step.image_bytes = num_bytes(x, y) // BATCH
            step.weight_bytes = num_bytes(*module.parameters())
        count = getattr(module, "multiply_adds", None)
        if count is not None:
            step.multiply_adds = count()


def _has_own_geometry(module: nn.Module) -> bool:
    return isinstance(getattr(module, "axes", None), tuple)


def _first_tensor(value: Any) -> Tensor | None:
    return next(iter(tensors(value)), None)
