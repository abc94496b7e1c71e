"""Normalisation, sum and activation in one pass: found in a module's code, proven, rewritten.

A block such as `relu(norm(conv(x)) + shortcut(x))` goes over its maps four times. Where a trace
of the block's own code proves that the normalisation's result is used for nothing else, the block
gets a forward pass that calls the normalisation with the residual and the activation, and with the
convolution before it, which is one pass where the network only answers. Everything that the trace
took for constant is looked at again on each call; if it has changed, the block's own code runs.
"""

import operator as python
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.module import _has_any_global_hook

from striate.execution.activation import ACTIVATIONS
from striate.execution.layer import Conv2d, Norm2d, activation_name, plain_class
from striate.execution.native import operator
from striate.execution.purity import has_hooks, pure_trace

__all__ = ["fused_class"]

_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    torch.relu_: "relu",
    F.silu: "silu",
    F.gelu: "gelu",
    torch.tanh: "tanh",
    F.tanh: "tanh",
}
_METHODS = {"relu": "relu", "relu_": "relu", "tanh": "tanh"}
_FRESH = (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d)
"""Layers whose result shares its memory with nothing."""
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SUMS = (python.add, python.iadd, torch.add)

Guard = tuple[tuple[str, ...], type[nn.Module]]

_found: "WeakKeyDictionary[nn.Module, type[nn.Module] | None]" = WeakKeyDictionary()


def fused_class(module: nn.Module) -> type[nn.Module] | None:
    """A subclass of a module's class whose forward pass is fused; None where nothing can be."""
    if module not in _found:
        _found[module] = _build(module)
    return _found[module]


def _build(module: nn.Module) -> type[nn.Module] | None:
    inner = list(module.children())
    for child in inner:  # a sequence is looked into, at any depth
        inner += child.children() if type(child) is nn.Sequential else []
    if not any(plain_class(child) is nn.BatchNorm2d for child in inner):
        return None
    traced = pure_trace(module)
    if traced is None:
        return None
    guards = _rewrite(traced.graph, module)
    if not guards:
        return None
    for node in traced.graph.nodes:
        node.type = None  # annotations need not be known where the code is made
    traced.graph.lint()
    code = traced.graph.python_code("self")
    space: dict[str, Any] = dict(code.globals)
    exec(code.src, space)  # the code that fx wrote
    plain = type(module)
    sequences = dict(_sequences(module))
    forward = _guarded(space["forward"], plain, traced.constants, guards, sequences)
    return type(plain.__name__, (plain,), {"forward": forward, "striate_plain": plain})


def _guarded(
    quick: Callable[[nn.Module, Tensor], Any],
    plain: type[nn.Module],
    constants: dict[str, Any],
    guards: list[Guard],
    sequences: dict[tuple[str, ...], list[str]],
) -> Callable[..., Any]:
    """The fused pass where all is as it was when the module was traced, else the module's own."""

    def is_as_traced(self: nn.Module) -> bool:
        if _has_any_global_hook():  # type: ignore[no-untyped-call]
            return False
        own = self.__dict__
        for name, value in constants.items():
            if name not in own or own[name] != value:
                return False
        for path, kind in guards:
            layer = _at(self, path)
            if layer is None or plain_class(layer) is not kind or has_hooks(layer):
                return False
        for path, names in sequences.items():
            sequence = _at(self, path)
            if sequence is None or list(sequence._modules) != names:
                return False
            if sequence is not self and has_hooks(sequence):
                return False
        return True

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        # By keyword it has a name that the fused pass, whose input is the traced one, lacks.
        if len(args) == 1 and not kwargs and is_as_traced(self):
            return quick(self, args[0])
        return plain.forward(self, *args, **kwargs)

    return forward


def _at(module: nn.Module, path: tuple[str, ...]) -> nn.Module | None:
    found: nn.Module | None = module
    for name in path:
        found = None if found is None else found._modules.get(name)
    return found


def _sequences(
    module: nn.Module, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """The sequences, lists and tables that a trace looks into, with the names of their layers."""
    if isinstance(module, _CONTAINERS):
        yield path, list(module._modules)
    for name, child in module.named_children():
        if isinstance(child, _CONTAINERS):
            yield from _sequences(child, (*path, name))


def _rewrite(graph: fx.Graph, module: nn.Module) -> list[Guard]:
    """Replace what can be fused; the layers that the new code relies on come back.

    A residual is read where it was added, whatever happens to it afterwards.
    """
    guards: list[Guard] = []
    for node in list(graph.nodes):
        if not _is_layer(node, module, nn.BatchNorm2d):
            continue
        last, residual, activation, swallowed = _what_follows(node, module)
        place = node if residual is None else next(iter(node.users))
        conv = _convolution(node, place, module)
        if last is node and conv is None:
            continue
        first = node if conv is None else conv
        with graph.inserting_before(place):
            maker = None if conv is None else graph.get_attr(str(conv.target))
            owner = graph.get_attr(str(node.target))
            fused = graph.call_function(
                fused_pass, (maker, owner, first.args[0], residual, activation)
            )
        last.replace_all_uses_with(fused)
        for gone in _between(node, last):
            graph.erase_node(gone)
        guards += [(_path(node), nn.BatchNorm2d), *swallowed]
        if conv is not None:
            graph.erase_node(conv)
            guards.append((_path(conv), nn.Conv2d))
    return guards


def _path(node: fx.Node) -> tuple[str, ...]:
    return tuple(str(node.target).split("."))


def _is_layer(node: fx.Node, module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a node calls a layer of a kind, to which nobody listens, on one input."""
    if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return False
    layer = _at(module, _path(node))
    return layer is not None and plain_class(layer) is kind and not has_hooks(layer)


def _convolution(norm: fx.Node, place: fx.Node, module: nn.Module) -> fx.Node | None:
    """The convolution that makes what a normalisation reads, if it can run with it at `place`."""
    conv = norm.args[0]
    if not isinstance(conv, fx.Node) or conv is not norm.prev or len(conv.users) != 1:
        return None
    if not _is_layer(conv, module, nn.Conv2d):
        return None
    # If it waits for its residual, and that is made meanwhile, nobody else may see what it reads.
    if place in (norm, norm.next):
        return conv
    source = conv.args[0]
    own = isinstance(source, fx.Node) and source.target is fused_pass and len(source.users) == 1
    return conv if own else None


def _what_follows(
    node: fx.Node, module: nn.Module
) -> tuple[fx.Node, fx.Node | None, str, list[Guard]]:
    """The last node that can be swallowed, the residual, the activation, its layer."""
    nothing = (node, None, "none", list[Guard]())
    user = _only_user(node)
    if user is None:
        return nothing
    named, guards = _activation(user, module)
    if named is not None:
        return user, None, named, guards
    residual = _other_summand(user, node)
    if residual is None or not _may_wait(node, module):
        return nothing
    after = _only_user(user)
    named, guards = (None, []) if after is None else _activation(after, module)
    if after is None or named is None:
        return user, residual, "none", []
    return after, residual, named, guards


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _may_wait(node: fx.Node, module: nn.Module) -> bool:
    """Whether a normalisation can run later: nobody else sees, or changes, what it reads."""
    source = node.args[0]
    if not isinstance(source, fx.Node) or len(source.users) != 1 or source.op != "call_module":
        return False
    maker = _at(module, _path(source))
    calls = [other for other in node.graph.nodes if other.target == node.target]
    return maker is not None and plain_class(maker) in _FRESH and len(calls) == 1


def _activation(node: fx.Node, module: nn.Module) -> tuple[str | None, list[Guard]]:
    if node.op == "call_module":
        path = _path(node)
        layer = _at(module, path)
        if layer is not None and not has_hooks(layer) and len(node.args) == 1:
            return activation_name(layer), [(path, plain_class(layer))]
    if node.op == "call_method":
        return (_METHODS.get(str(node.target)) if len(node.args) == 1 else None), []
    if node.op == "call_function":
        known = _FUNCTIONS.get(node.target)
        given = {name: value for name, value in node.kwargs.items() if name != "inplace"}
        if known == "gelu" and given in ({"approximate": "tanh"}, {"approximate": "none"}):
            known, given = ("gelu_tanh" if given["approximate"] == "tanh" else "gelu"), {}
        if len(node.args) == 1 and not given:
            return known, []
    return None, []


def _other_summand(node: fx.Node, norm: fx.Node) -> fx.Node | None:
    """The summand that this node adds to a normalisation's result; None if it is no such sum."""
    plain = node.op == "call_function" and node.target in _SUMS
    if not (plain or (node.op == "call_method" and node.target in ("add", "add_"))):
        return None
    if len(node.args) != 2 or node.kwargs:
        return None
    first, second = node.args
    if first is second or not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
        return None
    in_place = node.target in (python.iadd, "add_")
    if in_place and first is not norm:
        return None  # the other summand is changed, and could be looked at later
    return second if first is norm else first


def _between(first: fx.Node, last: fx.Node) -> list[fx.Node]:
    """The chain from `last` back to `first`, users before what they use."""
    chain = [last]
    while chain[-1] is not first:
        chain.append(
            next(n for n in chain[-1].all_input_nodes if n is first or first in n.all_input_nodes)
        )
    return chain


def fused_pass(
    conv: nn.Module | None, norm: nn.Module, x: Tensor, residual: Any, activation: str
) -> Tensor:
    """Run a normalisation with its sum and activation in one pass, as far as it can."""
    native = operator("convolution_norm_act")
    whole: Tensor | None = None
    plain = residual is None or isinstance(residual, Tensor)
    if native and plain and type(conv) is Conv2d and type(norm) is Norm2d:
        kernel = (conv.weight, conv.bias, conv.sizes())
        whole = native(x, *kernel, norm, activation, residual)
    if whole is not None:
        return whole
    x = x if conv is None else conv(x)
    if isinstance(norm, Norm2d):
        fused: Tensor = norm(x, residual=residual, activation=activation)
        return fused
    y = norm(x)
    return ACTIVATIONS[activation](y if residual is None else y + residual)
