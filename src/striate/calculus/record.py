"""A recorder of a function of tensors and its backward pass: the parts of the graph.

A value is identified by the point of autograd's own graph that made it (node and output number), so
that an in-place operation makes a new value of the same tensor. Where a call went through
several of autograd's nodes (a cross-entropy), they are taken together; where a value appears
that no call explains (a custom `autograd.Function`, a view whose base changed), its node in
autograd's graph stands for the call. Hooks on those nodes read the gradient of each single use.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import Node as GradNode
from torch.autograd.graph import get_gradient_edge
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from striate.calculus.graph_data import Kind
from striate.calculus.graph_label import label_of_function, label_of_grad_fn, number_text

Key = tuple[Any, int]

_VIEWS_OF_ATTRIBUTES = {"T", "mT", "H", "mH", "real", "imag"}


@dataclass
class Use:
    """One use of one value by one recorded operation."""

    key: Key
    value: Tensor
    gradient: Tensor | None = None

    def add(self, part: Tensor) -> None:
        part = part.detach().sum_to_size(self.value.shape)
        self.gradient = part.clone() if self.gradient is None else self.gradient + part


@dataclass
class Recorded:
    """One node of the graph while it is being recorded."""

    kind: Kind
    name: str
    label: str
    scope: tuple[str, ...]
    uses: list[Use] = field(default_factory=list)
    outputs: list[Key] = field(default_factory=list)


class Recorder(TorchFunctionMode):
    """Records calls while it is active (`with`); `results` and `leaves` are read afterwards.

    Args:
        names: Names of modules by their id.
        tensors: Names of parameters and buffers by their id.
    """

    def __init__(self, names: Mapping[int, str], tensors: Mapping[int, str]) -> None:
        super().__init__()
        self.results: list[Recorded] = []
        self.maker: dict[Key, Recorded] = {}
        self.values: dict[Key, Tensor] = {}
        self.leaves: list[Tensor] = []
        self.classes: dict[str, str] = {}
        self._names, self._tensors = names, tensors
        self._grad_nodes: dict[GradNode, Recorded] = {}
        self._calls: Counter[str] = Counter()
        self._scope: list[str] = []
        self._alive: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [item for item in tree_leaves((args, kwargs)) if isinstance(item, Tensor)]
        if not tensors or _reads_only(func):
            return func(*args, **kwargs)
        before = [_key(tensor) for tensor in tensors]
        for tensor, key in zip(tensors, before, strict=True):
            self._explain(tensor, key)
        result = func(*args, **kwargs)
        made = [item for item in tree_leaves(result) if isinstance(item, Tensor)]
        pairs = zip(tensors, before, strict=True)
        made += [tensor for tensor, key in pairs if _key(tensor) != key]
        new = {_key(tensor): tensor for tensor in made if _key(tensor) not in self.maker}
        if new:
            name, label = label_of_function(func, args)
            # x + alpha * y and rounded quotients pass gradients in another way than their names.
            is_plain = kwargs.get("alpha", 1) == 1 and kwargs.get("rounding_mode") is None
            self._record(name if is_plain else "", label, before, new)
        return result

    def enter(self, tensor: Tensor, kind: Kind, label: str) -> None:
        """Record a tensor that is there from the start."""
        recorded = Recorded(kind, label, label, tuple(self._scope))
        self._keep(recorded, {_key(tensor): tensor})

    def leave(self, tensor: Tensor, label: str, seed: Tensor) -> None:
        """Record a tensor that the function gives, with the gradient that enters there."""
        key = _key(tensor)
        self._explain(tensor, key)
        gradient = seed if tensor.requires_grad else None
        use = Use(key, self.values[key], gradient)
        self.results.append(Recorded("output", label, label, (), [use]))

    @contextmanager
    def modules(self, root: nn.Module | None) -> Iterator[None]:
        """Follow which modules are running; the root itself has no name.

        The hooks hear the modules of all threads, and pass over those of others.
        """
        here = threading.get_ident()

        def before(module: nn.Module, _: Any) -> None:
            if module is root or threading.get_ident() != here:
                return
            name = self._names.get(id(module), type(module).__name__)
            self._calls[name] += 1
            scope = name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"
            self.classes[scope] = type(module).__name__
            self._scope.append(scope)

        def after(module: nn.Module, _: Any, __: Any) -> None:
            if module is not root and self._scope and threading.get_ident() == here:
                self._scope.pop()

        with (
            register_module_forward_pre_hook(before),
            register_module_forward_hook(after, always_call=True),
        ):
            yield

    def _keep(self, recorded: Recorded, made: Mapping[Key, Tensor]) -> None:
        self.results.append(recorded)
        for key, tensor in made.items():
            recorded.outputs.append(key)
            self.maker[key] = recorded
            self.values[key] = tensor.detach().clone()
            self._alive.append(tensor)  # an id must not come to another tensor
            if isinstance(key[0], GradNode):
                self._grad_nodes.setdefault(key[0], recorded)

    def _explain(self, tensor: Tensor, key: Key) -> None:
        """Record where a tensor came from when no recorded call made it."""
        if key in self.maker:
            return
        node = key[0]
        if not isinstance(node, GradNode):
            small = tensor.numel() == 1 and not tensor.is_complex()
            plain = number_text(float(tensor)) if small else "constant"
            self.enter(tensor, "constant", self._tensors.get(id(tensor), plain))
        elif hasattr(node, "variable"):
            self.leaves.append(tensor)
            name = self._tensors.get(id(tensor))
            self.enter(tensor, "parameter" if name else "constant", name or "leaf")
        elif node in self._grad_nodes:
            self._grad_nodes[node].outputs.append(key)
            self.maker[key] = self._grad_nodes[node]
            self.values[key] = tensor.detach().clone()
        else:
            self._record(*label_of_grad_fn(node.name()), [], {key: tensor})

    def _record(self, name: str, label: str, used: list[Key], made: Mapping[Key, Tensor]) -> None:
        uses = [Use(key, self.values[key]) for key in used]
        recorded = Recorded("operation", name, label, tuple(self._scope), uses)
        waiting: dict[Key, list[Use]] = {}
        for use in uses:
            waiting.setdefault(use.key, []).append(use)
        entries: dict[GradNode, dict[int, Use]] = {}
        for node, slot, key in self._boundary([key[0] for key in made]):
            queue = waiting.get(key)
            if queue is None:
                use = Use(key, self.values[key])
                uses.append(use)
            else:
                use = queue.pop(0) if len(queue) > 1 else queue[0]
            entries.setdefault(node, {})[slot] = use
        for node, slots in entries.items():
            node.register_hook(_reader(slots))
        self._keep(recorded, made)

    def _boundary(self, start: list[Any]) -> list[tuple[GradNode, int, Key]]:
        """The points where autograd's graph, followed back from new nodes, meets known values."""
        entries: list[tuple[GradNode, int, Key]] = []
        stack = [node for node in reversed(start) if isinstance(node, GradNode)]
        seen: set[GradNode] = set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            deeper = []
            for slot, (before, number) in enumerate(node.next_functions):
                if before is None:
                    continue
                if (before, number) not in self.maker and hasattr(before, "variable"):
                    self._explain(before.variable, (before, number))
                if (before, number) in self.maker:
                    entries.append((node, slot, (before, number)))
                else:
                    deeper.append(before)
            stack += reversed(deeper)
        return entries


def _reader(slots: Mapping[int, Use]) -> Callable[[Any, Any], None]:
    def read(gradients: tuple[Tensor | None, ...], _: Any) -> None:
        for slot, use in slots.items():
            part = gradients[slot]
            if part is not None:
                use.add(part)

    return read


def _key(tensor: Tensor) -> Key:
    if tensor.requires_grad:
        edge = get_gradient_edge(tensor)
        return (edge.node, edge.output_nr)
    return (id(tensor), tensor._version)


def _reads_only(function: Callable[..., Any]) -> bool:
    """Whether a call only reads a property of a tensor (its shape, its type)."""
    if getattr(function, "__name__", "") != "__get__":
        return False
    attribute = getattr(getattr(function, "__self__", None), "__name__", "")
    return attribute not in _VIEWS_OF_ATTRIBUTES
