"""Schedule-free optimisers (by the schedulefree library), and how a loop treats them.

They hold three sequences: z takes the steps, x is the average of z and the result, and
gradients are taken at y = (1 − β) z + β x. While training, the network holds y; to measure or
ship, it must hold x. `optimiser.eval()` and `optimiser.train()` switch between the two. The
library does so by arithmetic, which loses the last bits; here the weights are kept, so that
evaluating the result does not change the training.

What a loop does, for any optimiser whatever its kind (averaged descent has the pair as well):

- `with evaluation_weights(optimiser): validate(...)`: inside, the network holds the result;
  afterwards it holds exactly the bits that it held before. For an optimiser without the pair of
  methods `train` and `eval` nothing happens.
- checkpoints are written and read outside the block.
- The schedule stays constant (after a warm-up, if any).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from schedulefree import AdamWScheduleFree, SGDScheduleFree
from torch import Tensor
from torch.optim import Optimizer

from striate.optim.group import Parameters
from striate.optim.layout import construct


class KeptWeights:
    """`eval` and `train` of the class beside it, with the weights kept in between."""

    _own: tuple[tuple[Tensor, Tensor], ...] = ()

    @torch.no_grad()
    def eval(self) -> None:
        """Let the parameters hold the average."""
        if not self._own:
            groups: Any = self.param_groups  # type: ignore[attr-defined]
            parameters = [p for group in groups for p in group["params"]]
            self._own = tuple((p, p.detach().clone()) for p in parameters)
        super().eval()  # type: ignore[misc]

    @torch.no_grad()
    def train(self) -> None:
        """Let the parameters hold the trained weights again."""
        super().train()  # type: ignore[misc]
        for parameter, values in self._own:
            parameter.copy_(values)
        self._own = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        self._own = ()


class _ScheduleFreeSGD(KeptWeights, SGDScheduleFree):  # type: ignore[misc]
    pass


class _ScheduleFreeAdamW(KeptWeights, AdamWScheduleFree):  # type: ignore[misc]
    pass


def schedule_free_sgd(
    params: Parameters, lr: float = 1.0, *, momentum: float = 0.9, weight_decay: float = 0.0
) -> Optimizer:
    """Schedule-free gradient descent: no falling rate is needed; the average is the result.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate η; about ten times that of sgd.
        momentum: β in (0, 1), the position of y between z and x.
        weight_decay: λ; λy is added to the gradient.

    Raises:
        ConfigError: a number out of its range.

    Source: Defazio et al., "The Road Less Scheduled", 2024, equations 3 to 5.
    """
    return _training(construct(_ScheduleFreeSGD, params, lr, weight_decay, momentum=momentum))


def schedule_free_adamw(
    params: Parameters,
    lr: float = 0.0025,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Schedule-free AdamW: no falling rate is needed; the average is the result.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate η.
        betas: Position of y between z and x, and decay of the running square.
        eps: Added to the root.
        weight_decay: λ, taken at y.

    Raises:
        ConfigError: a number out of its range.

    Source: Defazio et al., "The Road Less Scheduled", 2024, algorithm 1.
    """
    rest = {"betas": tuple(betas), "eps": eps}
    return _training(construct(_ScheduleFreeAdamW, params, lr, weight_decay, **rest))


@contextmanager
def evaluation_weights(optimiser: Optimizer) -> Iterator[None]:
    """Let the network hold the optimiser's result inside the block, and its own bits after it.

    Args:
        optimiser: Any optimiser; one with methods `train` and `eval` is switched.
    """
    to_evaluate = getattr(optimiser, "eval", None)
    to_train = getattr(optimiser, "train", None)
    if to_evaluate is None or to_train is None:
        yield
        return
    to_evaluate()
    try:
        yield
    finally:
        to_train()


def _training(optimiser: Optimizer) -> Optimizer:
    """Put into training mode, so that the first step needs no preparation."""
    optimiser.train()  # type: ignore[attr-defined]
    return optimiser
