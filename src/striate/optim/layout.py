"""Gradients and states laid out in memory as their parameters are.

torch's fused kernels on the CPU walk through parameter, gradient and state by address and take
for granted that all three have the same strides. They do not check it: a channels-last kernel
with a contiguous gradient, or with a state that was read back from a file (files hold
contiguous arrays), is updated with another element's numbers, silently. Two hooks make the
strides equal; where they are equal already, which is nearly always, they only compare.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.errors import ConfigError
from striate.optim.group import Parameters, as_groups, check_numbers

_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
"""Those with a fused kernel on the CPU: there a step takes a third of the looped one's time."""


_SHARES = ("alpha", "betas", "momentum", "rho")
"""Arguments that lie in [0, 1)."""


def construct(
    constructor: Callable[..., Optimizer],
    params: Parameters,
    lr: float,
    weight_decay: float,
    **arguments: Any,
) -> Optimizer:
    """An optimiser with the fused kernel where it has one, else with torch's own choice.

    Args:
        constructor: Class of the optimiser.
        params: Tensors or parameter groups.
        lr: Learning rate η.
        weight_decay: Weight decay λ.
        arguments: Other arguments of the class.

    Raises:
        ConfigError: no parameters, or numbers out of their range.
    """
    check_numbers(lr, weight_decay, **{k: v for k, v in arguments.items() if k in _SHARES})
    groups = as_groups(params)
    if constructor in _FUSED and can_fuse(groups):
        arguments["fused"] = True
    try:
        built = constructor(groups, lr=lr, weight_decay=weight_decay, **arguments)
    except ValueError as error:
        raise ConfigError(f"The optimiser cannot be built: {error}.") from error
    return fused_safely(built) if arguments.get("fused") else built


def can_fuse(groups: Iterable[dict[str, Any]]) -> bool:
    """Whether torch's fused kernels take all these parameters (floating, on CPU or CUDA)."""
    return all(
        parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda")
        for group in groups
        for parameter in group["params"]
    )


def fused_safely(optimiser: Optimizer) -> Optimizer:
    """Add hooks to an optimiser that keep the layouts equal before a fused kernel runs."""
    optimiser.register_step_pre_hook(_match_gradients)
    optimiser.register_load_state_dict_post_hook(_match_states)
    return optimiser


def copied(
    network: nn.Module, optimisers: Mapping[str, Optimizer]
) -> tuple[nn.Module, dict[str, Optimizer]]:
    """Copies of a network and of the optimisers of its parameters, which learn by themselves."""
    network, own = copy.deepcopy((network, dict(optimisers)))
    for optimiser in own.values():
        if any(group.get("fused") for group in optimiser.param_groups):
            fused_safely(optimiser)  # hooks are not copied
    return network, own


def _match_gradients(optimiser: Optimizer, *_: Any) -> None:
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is not None and gradient.stride() != parameter.stride():
                parameter.grad = _laid_out_as(parameter, gradient)


def _match_states(optimiser: Optimizer) -> None:
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if (
                isinstance(value, Tensor)
                and value.shape == parameter.shape
                and value.stride() != parameter.stride()
            ):
                state[name] = _laid_out_as(parameter, value)


@torch.no_grad()
def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
