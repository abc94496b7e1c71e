"""Gradient descent whose result is the mean of its points (ASGD)."""

import torch

from striate.optim.group import Parameters, as_groups, check_numbers
from striate.optim.schedule_free import KeptWeights


class _Mean(torch.optim.ASGD):
    @torch.no_grad()
    def eval(self) -> None:
        for parameter, state in self.state.items():
            parameter.copy_(state["ax"])

    def train(self) -> None:
        """Nothing to do: the weights are kept beside."""


class AveragedDescent(KeptWeights, _Mean):
    """Averaged gradient descent: θ ← θ − η g; the result is the mean of the points after step t0.

    torch.optim.ASGD keeps the mean in its state, where nothing reads it. Here `eval()` puts it into
    the parameters and `train()` takes it out again, exactly; `evaluation_weights` calls both.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate η; step t uses η / (1 + λ' η t)^α.
        t0: Step after which the mean begins; the points before it are too far away to count.
        lambd: λ', which also shrinks the weights of all groups by λ' η in each step; 0 keeps
            the rate, as suits a schedule.
        alpha: α, the power of the falling rate.
        weight_decay: λ; λθ is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992;
    the falling rate: Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.2.

    Example:
        >>> point = torch.tensor([8.0], requires_grad=True)
        >>> optimiser = AveragedDescent([point], lr=0.25, t0=0)
        >>> for _ in range(3):
        ...     point.grad = point.detach().clone()
        ...     optimiser.step()
        >>> optimiser.eval(); point.item()  # the mean of 6, 4.5 and 3.375
        4.625
        >>> optimiser.train(); point.item()
        3.375
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 0.1,
        *,
        t0: int = 100,
        lambd: float = 0.0,
        alpha: float = 0.75,
        weight_decay: float = 0.0,
    ) -> None:
        check_numbers(lr, weight_decay)
        # torch weighs the point of step t by 1/max(1, t − 1 − t0): its t0 is one less than ours.
        super().__init__(
            as_groups(params), lr=lr, t0=t0 - 1, lambd=lambd, alpha=alpha, weight_decay=weight_decay
        )
