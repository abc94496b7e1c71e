"""A running average of a network's weights (exponential, or Polyak's plain mean)."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.errors import CheckpointError, ConfigError


class Average:
    """A bias-corrected running average of weights θ_1 … θ_t, kept beside the network.

    Each update takes its decay d_t from the caller (a half-life may follow the plan of steps):

        W_t = d_t · W_{t−1} + (1 − d_t),   W_0 = 0
        θ̄_t = θ̄_{t−1} + (1 − d_t) / W_t · (θ_t − θ̄_{t−1})

    which for a constant d is Adam's corrected average Σ d^{t−i} θ_i / Σ d^{t−i}. The first update
    copies θ_1 whole, so that the weights at initialisation never count; d_t = 1 − 1/t gives the
    plain mean (Polyak). Floating buffers (running mean and variance of a normalisation) are
    averaged as well, integer and boolean ones are copied.

    Averages of 16-bit tensors are kept in float32, because (1 − d) θ is below their resolution.

    Args:
        network: Network to follow; it is not changed, and not held.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992;
    the correction as in Kingma and Ba, "Adam", 2015, section 3.

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> average = Average(network)
        >>> for value in (1.0, 2.0, 4.0):
        ...     _ = network.weight.data.fill_(value)
        ...     average.update(network, decay=0.5)
        >>> round(average.weights()["weight"].item(), 4)  # (1·¼ + 2·½ + 4·1) / (¼ + ½ + 1)
        3.0
    """

    def __init__(self, network: nn.Module) -> None:
        self._total = 0.0
        self._tensors = {
            name: tensor.detach().to(_kept_dtype(tensor), copy=True)
            for name, tensor in network.state_dict().items()
        }

    @property
    def is_empty(self) -> bool:
        """True before the first update (the weights are then those at construction)."""
        return self._total == 0.0

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        """Take the network's present weights into the average.

        Args:
            network: Network of the construction, or one with the same state names.
            decay: Decay d_t in [0, 1): the share of the old average that stays.

        Raises:
            ConfigError: the decay is outside [0, 1), or the network has other state names.
        """
        if not 0 <= decay < 1:
            raise ConfigError(f"The decay of an average must lie in [0, 1); what came is {decay}.")
        present = network.state_dict()
        if present.keys() != self._tensors.keys():
            raise ConfigError(_differences("The average", present, self._tensors))
        self._total = decay * self._total + (1 - decay)
        share = (1 - decay) / self._total
        averages, weights = [], []
        for name, average in self._tensors.items():
            if average.is_floating_point() or average.is_complex():
                averages.append(average)
                weights.append(present[name].detach().to(average.dtype))
            else:
                average.copy_(present[name])
        if averages:
            torch._foreach_lerp_(averages, weights, share)

    def weights(self) -> dict[str, Tensor]:
        """The averaged state by name, as `network.load_state_dict` takes it (not copies)."""
        return dict(self._tensors)

    @contextmanager
    def inside(self, network: nn.Module) -> Iterator[None]:
        """Let the network hold the averaged weights inside the block; its own come back exactly."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        try:
            network.load_state_dict(self._tensors)
            yield
        finally:
            network.load_state_dict(own)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to continue bit for bit, as tensors by name."""
        total = torch.tensor(self._total, dtype=torch.float64)
        return {"total": total, **{f"average.{name}": t for name, t in self._tensors.items()}}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state.

        Raises:
            CheckpointError: the state belongs to another network.
        """
        present = self.state_dict()
        if state.keys() != present.keys():
            raise CheckpointError(_differences("The saved average", state, present))
        for name, tensor in self._tensors.items():
            saved = state[f"average.{name}"]
            if saved.shape != tensor.shape:
                raise CheckpointError(
                    f"The saved average has {name!r} of shape {tuple(saved.shape)}; "
                    f"this network has {tuple(tensor.shape)}."
                )
            tensor.copy_(saved)
        self._total = float(state["total"])
        if not math.isfinite(self._total):
            raise CheckpointError("The saved average's total weight is not a finite number.")


def _kept_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype


def _differences(what: str, came: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> str:
    missing = sorted(known.keys() - came.keys())[:3]
    extra = sorted(came.keys() - known.keys())[:3]
    return (
        f"{what} belongs to another network: missing {missing or 'nothing'}, "
        f"unknown {extra or 'nothing'}."
    )
