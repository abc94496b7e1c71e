"""Dropout of values, and of whole residual branches (stochastic depth)."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate import kernels
from striate.errors import ConfigError

__all__ = ["Dropout", "StochasticDepth", "dropout", "stochastic_depth"]

LEVELS = 2**16
"""Distinct values of the 16-bit random numbers that decide what is kept."""


def dropout(
    x: Float[Tensor, "*any"], p: float = 0.5, *, training: bool = True
) -> Float[Tensor, "*any"]:
    """x with each value set to zero with probability p, the others scaled so that the mean stays.

    torch's CPU kernel draws one double per value from a Mersenne twister on one thread, and can
    cost more than the convolution beside it. Here 16-bit numbers come from Philox by a native
    kernel, which keeps no mask (see `kernels.dropout`); without one from SFC64. Both are started by
    one number from torch's default generator, so that `torch.manual_seed` repeats the mask. The
    probability is p rounded to 1/65536; the scale is its exact inverse, so the mean has no bias.
    Elsewhere than on a CPU, and while compiling, torch's own is used.

    Args:
        x: Tensor of any shape; the mask follows its order in memory.
        p: Between 0 and 1.
        training: False gives x itself.

    Source: Srivastava et al., Dropout (2014), scaled at training as in section 10; the generator
    is Doty-Humphrey's (PractRand).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> sorted(set(dropout(torch.full((50,), 3.0), 0.25).tolist()))
        [0.0, 4.0]
    """
    _check_probability(p)
    kept_levels = LEVELS - round(p * LEVELS)
    if not training or kept_levels == LEVELS:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p, training=True)
    # Without wide vectors Philox costs more than SFC64.
    if x.dtype == torch.float32 and kept_levels > 0 and kernels.isa() in ("avx2", "avx512"):
        return kernels.dropout(x, p)
    mask = torch.empty_like(x, requires_grad=False)  # dense, in the memory order of x
    if kept_levels == 0:
        return x * mask.zero_()
    seed = int(torch.empty((), dtype=torch.int64).random_())
    words = np.random.SFC64(seed).random_raw(-(-x.numel() // 4))
    numbers = torch.from_numpy(words.view(np.int16))[: x.numel()]
    # Written as floating-point numbers at once: a mask of booleans costs a conversion more.
    flat = mask.as_strided((x.numel(),), (1,))
    torch.lt(numbers, kept_levels - LEVELS // 2, out=flat)
    return x * mask.mul_(LEVELS / kept_levels)


class _WithProbability(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        _check_probability(p)
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_WithProbability):
    """Each value set to zero with probability p while training; fast on a CPU (see `dropout`).

    Example:
        >>> layer = Dropout(0.3).eval()
        >>> layer(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return dropout(x, self.p, training=self.training)


def stochastic_depth(
    x: Float[Tensor, "B *any"], p: float, *, training: bool = True
) -> Float[Tensor, "B *any"]:
    """x with whole items set to zero with probability p, the others divided by 1 − p.

    Applied to the residual branch of a block it lets items skip the block. The paper instead
    multiplies by 1 − p when testing, which gives the same expectation.

    Source: Huang et al., Deep Networks with Stochastic Depth (2016).

    Example:
        >>> stochastic_depth(torch.ones(3, 2), 0.0)
        tensor([[1., 1.],
                [1., 1.],
                [1., 1.]])
    """
    _check_probability(p)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    kept = torch.rand(x.shape[0], device=x.device) >= p
    return x * (kept.to(x.dtype) / (1 - p)).view(-1, *(1,) * (x.ndim - 1))


class StochasticDepth(_WithProbability):
    """The residual branch of each item set to zero with probability p while training.

    Example:
        >>> StochasticDepth(0.2).eval()(torch.tensor([[1.0, 2.0]]))
        tensor([[1., 2.]])
    """

    def forward(self, x: Float[Tensor, "B *any"]) -> Float[Tensor, "B *any"]:
        return stochastic_depth(x, self.p, training=self.training)


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ConfigError(f"p={p} is no probability; accepted: 0 to 1.")
