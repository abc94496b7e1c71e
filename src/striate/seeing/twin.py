"""A twin of a network: modules of its own, the network's own tensors.

What looks into a network needs hooks, evaluation mode, gradients at its inputs and plain operators.
On a twin all of that happens without touching the network, so that nothing can be left behind on
it, whatever goes wrong, and a training may be under way meanwhile.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ConfigError, unknown_name
from striate.execution import restore

__all__ = ["captured", "last_call", "module_named", "own_copy", "twin"]


def twin(network: nn.Module) -> nn.Module:
    """A copy of a network's modules around the same tensors, in evaluation mode.

    Its layers are torch's plain ones where the network's were exchanged for native ones, its
    parameters need no gradients, and hooks and parametrisations of the network stay in force. No
    number is copied.

    Args:
        network: Any module; left as it is.

    Raises:
        ConfigError: a scripted network, which nobody can look into, or one that cannot be copied.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
        >>> copied = twin(network)
        >>> copied.training, network.training
        (False, True)
        >>> copied[0].weight.data_ptr() == network[0].weight.data_ptr()
        True
    """
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    memo: dict[int, Any] = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ConfigError(
                f"{name or 'The network'} is scripted, and no operator of it can be seen. Give the "
                "network that it was made from."
            )
        for value in _tensors_of(module):
            shared = value.detach()
            memo[id(value)] = (
                nn.Parameter(shared, requires_grad=False)
                if isinstance(value, nn.Parameter)
                else shared
            )
    copied = own_copy(network, memo)
    for module in copied.modules():
        module.training = False  # `eval` may be a person's own, and do more
    return restore(copied)


def own_copy(network: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A copy of a network with modules and tensors of its own, in the network's modes.

    Args:
        network: Any module; left as it is.
        memo: What is taken instead of a copy, by the identity of what is copied.

    Raises:
        ConfigError: a network that cannot be copied.
    """
    try:
        return copy.deepcopy(network, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ConfigError(
            f"{type(network).__name__} cannot be copied ({error}). What it holds beside modules "
            "and tensors must be open to copy.deepcopy."
        ) from error


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """All tensors that a module holds itself: parameters, buffers, and plain attributes."""
    for value in (*vars(module).values(), *module._parameters.values(), *module._buffers.values()):
        if isinstance(value, Tensor):
            yield value


def module_named(network: nn.Module, name: str) -> nn.Module:
    """The module of that name.

    Raises:
        ConfigError: there is none, with the nearest names.
    """
    modules = dict(network.named_modules())
    if name not in modules:
        raise ConfigError(unknown_name("layer", name, [known for known in modules if known]))
    module: nn.Module = modules[name]
    return module


@contextmanager
def captured(network: nn.Module, *names: str) -> Iterator[dict[str, list[Tensor]]]:
    """Outputs of layers of a twin by name, a list with one for each call, while the block runs.

    What follows a layer gets a copy of its output, so that a later layer that works in place does
    not change what was captured.

    Args:
        network: Twin, which gets hooks until the end of the block.
        names: Names of modules; "" is the network itself.

    Raises:
        ConfigError: a name that the network does not have.
    """
    outputs: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str, output: Any) -> Any:
        if not isinstance(output, Tensor):
            raise ConfigError(
                f"The layer {name!r} gives a {type(output).__name__}, not a tensor; name one of "
                "the layers in it."
            )
        outputs[name].append(output)
        return output.clone()

    with ExitStack() as stack:
        for name in names:
            module = module_named(network, name)
            hook = module.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
            stack.callback(hook.remove)
        yield outputs


def last_call(layers: Mapping[str, list[Tensor]], name: str) -> Tensor:
    """The output of the last call of a layer, of those that were captured.

    Raises:
        ConfigError: it was not called.
    """
    if not layers[name]:
        raise ConfigError(f"The layer {name!r} does not run.")
    return layers[name][-1]
