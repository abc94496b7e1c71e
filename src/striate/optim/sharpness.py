"""Sharpness-aware minimisation: the gradient at the worst point nearby.

It is no optimiser of its own but a second forward and backward before any optimiser's step, so
it is a context manager and is in no table. It doubles a step's cost, and at equal time that does
not pay in short trainings. Measured on digits (600 training images, a small convolutional
network, 8 seeds; test error, mean ± standard error): in the time of 100 plain steps 7.9 ± 0.5 %
against 4.9 ± 0.3 % without; of 400 steps 3.3 ± 0.3 % against 3.0 ± 0.2 %; only with the same
number of steps, and twice the time, is it level or better (2.8 ± 0.1 %).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from striate.errors import ConfigError

__all__ = ["uphill"]


@contextmanager
def uphill(parameters: Iterable[Tensor], rho: float = 0.05) -> Iterator[None]:
    """Move the weights to θ + ρ g/‖g‖ inside the block, and back exactly after it.

    The gradients g are those present on entry; they are cleared, so that the block's own
    backward fills them anew, at the point uphill.

    Args:
        parameters: The parameters, with gradients.
        rho: Length ρ of the move, in the units of the weights.

    Raises:
        ConfigError: ρ is not above 0.

    Source: Foret et al., "Sharpness-Aware Minimization", 2021, equations 2 and 3.

    Example:
        >>> weight = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> weight.square().sum().backward()
        >>> with uphill([weight], rho=0.5):
        ...     weight.square().sum().backward()
        >>> [round(g, 3) for g in weight.grad.tolist()]  # 2 (θ + 0.5 θ/‖θ‖)
        [6.6, 8.8]
    """
    if not rho > 0:
        raise ConfigError(f"rho={rho} must be above 0: it is the length of the move uphill.")
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    own = [parameter.detach().clone() for parameter in moved]
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm() if moved else 0.0
    with torch.no_grad():
        for parameter, gradient in zip(moved, gradients, strict=True):
            # 1e-12: at a critical point there is no uphill, and the move is zero.
            parameter.add_(gradient * (rho / (norm + 1e-12)))
            parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(moved, own, strict=True):
                parameter.copy_(values)
