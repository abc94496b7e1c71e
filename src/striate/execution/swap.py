"""Exchange of the layers inside any network for native ones, and back.

Only the classes of modules change. Weights, their names, `state_dict`, hooks, train and eval
mode, copies and the module tree stay what they are, so that an optimiser, an average of weights
or a checkpoint made before or after works with either.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from striate import kernels
from striate.execution.device import Execution
from striate.layers.native import NATIVE, NativeConv2d, NativeSequential, native_sequence

_PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    NativeConv2d: nn.Conv2d,
    NativeSequential: nn.Sequential,
    **{native: plain for kind in NATIVE.values() for plain, native in kind.items()},
}
"""The class that a layer had before it was exchanged."""
_lock = threading.RLock()
_users: "WeakKeyDictionary[nn.Module, int]" = WeakKeyDictionary()


def offered(network: nn.Module) -> tuple[str, ...]:
    """The kinds of layers in a network that have native operators here, besides convolutions."""
    if not kernels.available():
        return ()
    present = {_PLAIN.get(type(module), type(module)) for module in network.modules()}
    return tuple(kind for kind, classes in NATIVE.items() if present & set(classes))


def accelerate(network: nn.Module, execution: Execution) -> nn.Module:
    """Put a network's layers on the chosen operators; `restore` undoes it.

    A layer is left alone where its class is a person's own (a subclass may do anything; one of
    `nn.Sequential` with its `forward` does what that does), where its padding is not zeros, or
    where nothing was chosen for it. Results agree with torch's to
    rounding, not bit for bit (docs/inside/kernels.md has the measured bounds).

    Args:
        network: Module, changed in place.
        execution: Choice of operators, layers and compilation.

    Returns:
        The network.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        >>> names = list(network.state_dict())
        >>> choice = Execution(torch.device("cpu"), True, "float32", layers=("norm",))
        >>> accelerate(network, choice)(torch.randn(2, 3, 7, 5)).shape
        torch.Size([2, 4, 5, 3])
        >>> list(network.state_dict()) == names
        True
        >>> type(restore(network)[1])
        <class 'torch.nn.modules.batchnorm.BatchNorm2d'>
    """
    with _lock:
        restore(network)
        for name, module in network.named_modules():
            _exchange(module, execution.methods.get(name), execution.layers)
        if execution.compiled is not None:
            network.compile(mode=execution.compiled)
            network.__dict__["striate_compiled"] = True
    return network


def _exchange(module: nn.Module, methods: str | None, kinds: tuple[str, ...]) -> None:
    own = type(module)
    if own is nn.Conv2d:
        is_ordinary = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        if methods is not None and is_ordinary:
            module.__dict__["striate_methods"] = methods
            module.__class__ = NativeConv2d
    elif issubclass(own, nn.Sequential) and own.forward is nn.Sequential.forward:
        if "norm" in kinds and any(
            isinstance(layer, nn.BatchNorm2d) for layer in module.children()
        ):
            module.__class__ = native_sequence(own)
    # Positions of maxima in torch's numbering and changes in place are torch's business.
    elif not getattr(module, "return_indices", False) and not getattr(module, "inplace", False):
        for kind in kinds:
            module.__class__ = NATIVE.get(kind, {}).get(own, module.__class__)


def restore(network: nn.Module) -> nn.Module:
    """Give every layer of a network its own class back; a subclass of another is left alone."""
    with _lock:
        for module in network.modules():
            own = type(module)
            module.__class__ = _PLAIN.get(own, getattr(own, "striate_plain", own))
            if not isinstance(module, NativeConv2d):
                module.__dict__.pop("striate_methods", None)
        if network.__dict__.pop("striate_compiled", False):
            network._compiled_call_impl = None
    return network


@contextmanager
def accelerated(network: nn.Module, execution: Execution) -> Iterator[nn.Module]:
    """The network on the chosen operators inside the block, as it was afterwards.

    Blocks may lie inside each other and run on several threads: the first one in exchanges, the
    last one out restores.
    """
    if execution.is_plain:
        yield network
        return
    with _lock:
        depth = _users.get(network, 0)
        if depth == 0:
            accelerate(network, execution)
        _users[network] = depth + 1
    try:
        yield network
    finally:
        with _lock:
            _users[network] -= 1
            if _users[network] == 0:
                restore(network)
