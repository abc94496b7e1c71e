"""Which forward passes can be rewritten: those that only compute, and read nothing that changes.

A symbolic trace follows one path through a module's code and takes everything that is not the
input for constant. That is right for code that only passes its input through layers and functions,
and silently wrong for code that counts its calls, draws chance, asks what mode it is in or works
inside a context. A trace is accepted only where none of this was seen.
"""

import dis
import inspect
import random
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

__all__ = ["Traced", "pure_trace"]

_FORBIDDEN_STEPS = {
    "WITH_EXCEPT_START",  # every `with`: a trace forgets what surrounds an operation
    "STORE_ATTR",
    "DELETE_ATTR",
    "STORE_GLOBAL",
    "DELETE_GLOBAL",
    "IMPORT_NAME",
}
_FORBIDDEN_NAMES = {
    *("isinstance", "issubclass", "type", "hasattr", "getattr", "setattr", "delattr", "callable"),
    *(
        "print",
        "open",
        "id",
        "vars",
        "globals",
        "locals",
        "eval",
        "exec",
        "next",
        "iter",
        "__dict__",
    ),
}
_CONSTANTS = (int, float, complex, str, bytes, bool, type(None), slice)
_MODULE = frozenset(nn.Module().__dict__)
"""What torch itself keeps in a module; `training` is among it, and both modes are traced."""
_TORCH = str(Path(torch.__file__).parent)
_PYTHON = sysconfig.get_paths()["stdlib"]
_MUTABLE = (list, dict, set, bytearray, Tensor, np.ndarray)
_CHECKERS = ("jaxtyping", "beartype")
"""Decorators that check annotations and change nothing."""


class _ImpureError(Exception):
    """A forward pass that a trace would not repeat."""


class Traced:
    """A graph of one module's own code, and the attributes that it took for constant.

    Args:
        graph: calls of the module's layers (and of those in its sequences) and functions.
        constants: attribute of the module -> value that was read.
    """

    def __init__(self, graph: fx.Graph, constants: dict[str, Any]) -> None:
        self.graph = graph
        self.constants = constants


class _Tracer(fx.Tracer):
    """Layers are not looked into, but sequences are: they only hand on."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) is not nn.Sequential or has_hooks(m)


class _OnlyOnInput(TorchFunctionMode):
    """Refuses operations that do not depend on the input: their values would be frozen."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = torch.utils._pytree.tree_leaves((args, kwargs or {}))
        if not any(isinstance(item, fx.Proxy) for item in given):
            raise _ImpureError(f"{func} does not depend on the input")
        return func(*args, **(kwargs or {}))


def has_hooks(module: nn.Module) -> bool:
    """Whether something listens to a module's calls, or stands in their place."""
    return bool(
        "forward" in module.__dict__
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def pure_trace(module: nn.Module) -> Traced | None:
    """The graph of a module's forward pass, or None where a graph could differ from the code.

    The module is left as it was. Its code may call its layers and functions of one input; it may
    not read its mode, unless both modes do the same, nor chance, the clock, containers that can
    change or anything outside.

    Example:
        >>> traced = pure_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
        >>> [node.op for node in traced.graph.nodes]
        ['placeholder', 'call_module', 'call_module', 'output']
    """
    modes = {sub: sub.training for sub in module.modules()}
    try:
        found, names = _trace(module)
        if "training" in names:
            module.train(not module.training)
            other, _ = _trace(module)
            if str(found.graph) != str(other.graph) or found.constants != other.constants:
                return None
    except Exception:  # a trace fails in as many ways as code can be written
        return None
    finally:
        for sub, mode in modes.items():
            sub.training = mode
    return found


def _trace(module: nn.Module) -> tuple[Traced, set[str]]:
    """The trace, and all names that the module's own code uses."""
    plain = type(module)
    forward = _unwrapped(plain.forward)
    if not isinstance(forward, FunctionType) or "forward" in module.__dict__:
        raise _ImpureError("forward is no plain function")
    parameters = list(inspect.signature(forward).parameters.values())
    one = len(parameters) == 2 and all(
        p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in parameters
    )
    if not one and plain is not nn.Sequential:
        raise _ImpureError("forward takes more than one input")
    watched, read = _watched(plain, forward)
    module.__class__ = watched
    chance = _chance()
    try:
        with _only_pure_code() as names, _OnlyOnInput():
            graph = _Tracer().trace(module)
    finally:
        object.__setattr__(module, "__class__", plain)
    if chance != _chance():
        raise _ImpureError("forward draws chance")
    inner = {name for child in module.modules() if child is not module for name in child.__dict__}
    peeked = (names & inner) - _MODULE - set(read)
    if peeked:
        raise _ImpureError(f"{sorted(peeked)} of a layer may be read, and can change")
    return Traced(graph, read), names


def _chance() -> str:
    """The state of numpy's global generator; its calls cannot be watched."""
    state: Any = np.random.get_state(legacy=False)
    return f"{state['state']['pos']} {state['state']['key'].tobytes()!r}"


def _unwrapped(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside decorators that only check types."""
    while isinstance(forward, FunctionType) and hasattr(forward, "__wrapped__"):
        if not any(name in forward.__code__.co_filename for name in _CHECKERS):
            raise _ImpureError("forward is decorated")
        forward = forward.__wrapped__
    return forward


def _watched(
    plain: type[nn.Module], forward: FunctionType
) -> tuple[type[nn.Module], dict[str, Any]]:
    """A class that notes which plain attributes are read and refuses that any is written."""
    read: dict[str, Any] = {}

    def getter(self: nn.Module, name: str) -> Any:
        value = object.__getattribute__(self, name)
        own = object.__getattribute__(self, "__dict__")
        if name in own and name not in _MODULE:
            if not _is_constant(value):
                raise _ImpureError(f"{name} can change")
            read[name] = value
        return value

    def setter(self: nn.Module, name: str, value: Any) -> None:
        raise _ImpureError(f"{name} is written")

    body = {"forward": forward, "__getattribute__": getter, "__setattr__": setter}
    return type(plain.__name__, (plain,), body), read


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, _CONSTANTS)


@contextmanager
def _only_pure_code() -> Iterator[set[str]]:
    """Refuse code outside torch that could do more than compute; gives the names that it uses."""
    before = sys.getprofile()
    faults: list[str] = []
    names: set[str] = set()

    def look(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "c_call" and _draws(argument) and "beartype" not in code.co_filename:
            faults.append("chance")
        if event == "call" and not _is_known(code.co_filename):
            names.update(code.co_names)
            faults.extend(_faults(code))
            held = (name for name in code.co_names if name in frame.f_globals)
            faults.extend(name for name in held if isinstance(frame.f_globals[name], _MUTABLE))

    sys.setprofile(look)
    try:
        yield names
    finally:
        sys.setprofile(before)
    if faults:
        raise _ImpureError("; ".join(faults))


def _draws(function: object) -> bool:
    return isinstance(getattr(function, "__self__", None), random.Random)


@cache
def _is_known(file: str) -> bool:
    """Whether code is torch's, Python's own or this module's."""
    if any(checker in file for checker in _CHECKERS) or file == __file__:
        return True
    return file.startswith((_TORCH, "<")) or (
        file.startswith(_PYTHON) and "site-packages" not in file
    )


@cache
def _faults(code: CodeType) -> tuple[str, ...]:
    steps = {step.opname for step in dis.get_instructions(code)}
    return (*sorted(steps & _FORBIDDEN_STEPS), *sorted(set(code.co_names) & _FORBIDDEN_NAMES))
