"""Memory that each layer keeps for the backward pass, seen where torch itself keeps it."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from striate.errors import ConfigError
from striate.randomness import layer_randomness
from striate.seeing.running import running_calls
from striate.seeing.twin import own_copy

__all__ = ["Kept", "kept_for_backward"]


@dataclass(frozen=True)
class Kept:
    """Bytes that a batch keeps until its backward pass, without the parameters."""

    calls: dict[tuple[str, int], int] = field(default_factory=dict)
    """By the module that ran, the innermost one, and the number of its call, from 0."""

    @property
    def total(self) -> int:
        """Bytes of the whole network."""
        return sum(self.calls.values())


def kept_for_backward(network: nn.Module, images: Float[Tensor, "B *any"]) -> Kept:
    """Bytes that each call of each module keeps for its backward pass, in training mode.

    Memory that several layers keep counts once, where it is kept first: a ReLU keeps its own
    output, and the convolution after it nothing more. Parameters and buffers are there anyway and
    are left out; the images are counted. Not seen is what a function keeps past torch, such as the
    inputs of a checkpointed part.

    Args:
        network: Any module; left as it is.
        images: A batch as the network takes it. On torch's "meta" device, with a network there,
            nothing is computed.

    Raises:
        ConfigError: a network that cannot be copied, or a batch that it cannot train on.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
        >>> kept_for_backward(network, torch.zeros(4, 3)).calls
        {('0', 0): 48, ('1', 0): 80}
    """
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    copied = own_copy(network).train()
    # Memory that is given back during the pass may be given out again: all of it is held.
    held: list[Tensor] = []
    seen = {_storage(tensor) for tensor in (*copied.parameters(), *copied.buffers())}
    calls: Counter[tuple[str, int]] = Counter()

    def keep(tensor: Tensor) -> None:
        storage = _storage(tensor)
        if storage not in seen:
            seen.add(storage)
            held.append(tensor.detach())
            calls[running[-1]] += tensor.untyped_storage().nbytes()

    with (
        layer_randomness(0, "kept"),
        torch.enable_grad(),
        running_calls(copied) as running,
        saved_tensors_hooks(keep, lambda kept: kept),
    ):
        try:
            # A network that works in place must not change the caller's images.
            outputs = copied(images.detach().clone())
        except ValueError as error:
            raise ConfigError(f"The network cannot train on this batch: {error}") from error
        del outputs
    return Kept({call: count for call, count in calls.items() if count})


def _storage(tensor: Tensor) -> int:
    """What tells the memory of a tensor from any other that is alive."""
    return int(tensor.untyped_storage()._cdata)
