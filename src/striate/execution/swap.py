"""Exchange the operators inside any network, and put torch's own back exactly.

Only the classes of modules change. Weights, their names, `state_dict`, hooks, train and eval
mode, copies and the module tree stay what they are, so that an optimiser, an average of weights
or a checkpoint made before or after works with either.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from striate.execution.device import Execution
from striate.execution.fusion import fused_class
from striate.execution.layer import Conv2d, plain_class, swapped_class

__all__ = ["accelerate", "accelerated", "restore"]

_lock = threading.RLock()
_users: "WeakKeyDictionary[nn.Module, int]" = WeakKeyDictionary()


def accelerate(network: nn.Module, execution: Execution) -> nn.Module:
    """Put a network's layers on the chosen operators; `restore` undoes it.

    A layer is left alone where its class is a person's own (a subclass may do anything), where
    its padding is no zeros, or where nothing was chosen for it. Results agree with torch's to
    rounding, not bit for bit (docs/kernels.md has the measured bounds).

    Args:
        network: any module; changed in place.
        execution: what was chosen for it.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        >>> names = list(network.state_dict())
        >>> plain = Execution(torch.device("cpu"), True, "float32", layers=("norm",))
        >>> accelerate(network, plain)(torch.randn(2, 3, 7, 5)).shape
        torch.Size([2, 4, 5, 3])
        >>> list(network.state_dict()) == names
        True
        >>> type(restore(network)[1])
        <class 'torch.nn.modules.batchnorm.BatchNorm2d'>
    """
    with _lock:
        restore(network)
        if "norm" in execution.layers:
            wider = [(module, fused_class(module)) for module in network.modules()]
            for module, kind in wider:
                if kind is not None:
                    module.__class__ = kind
        for name, module in network.named_modules():
            _exchange(module, execution.methods.get(name), execution.layers)
        if execution.compiled is not None:
            network.compile(mode=execution.compiled)
            network.__dict__["striate_compiled"] = True
    return network


def _exchange(module: nn.Module, methods: str | None, layers: tuple[str, ...]) -> None:
    kind = type(module)
    if kind is nn.Conv2d:
        is_ordinary = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        if methods is not None and is_ordinary:
            module.__dict__["striate_methods"] = methods
            module.__class__ = Conv2d
        return
    other = swapped_class(module, layers)
    if other is not None:
        module.__class__ = other


def restore(network: nn.Module) -> nn.Module:
    """Give every layer of a network its own operators again."""
    with _lock:
        for module in network.modules():
            module.__class__ = plain_class(module)
            if not isinstance(module, Conv2d):  # another's subclass of ours still needs them
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
