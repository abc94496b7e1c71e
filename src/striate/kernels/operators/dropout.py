"""Dropout whose mask follows from a seed and the positions of the values, and is never stored."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError
from striate.kernels.operators.native import FLOAT, INT, POINTER, SIZE, call, runs_natively

LEVELS = 2**16
"""Distinct values of the 16-bit random numbers that decide what is kept."""

_APPLY = (POINTER, POINTER, SIZE, SIZE, INT, FLOAT)


def dropout(x: Float[Tensor, "*any"], p: float = 0.5) -> Float[Tensor, "*any"]:
    """x with each value set to zero with probability p, the others scaled so that the mean stays.

    Philox numbers, keyed by a seed from torch's default generator and counted in the order of
    memory, are computed again in the backward pass: nothing is stored. The probability is p rounded
    to 1/65536; the scale is its exact inverse. The mask is the same for any number of threads and
    instruction set. Where native code does not run, torch's own dropout does.

    Args:
        x: Values of any shape; float32 on a CPU runs natively.
        p: Probability between 0 and 1.

    Raises:
        ConfigError: p is no probability.

    Source: Srivastava et al., Dropout (2014); Salmon et al., Parallel random numbers: as easy as
    1, 2, 3 (2011).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> sorted(set(dropout(torch.full((50,), 3.0), 0.25).tolist()))
        [0.0, 4.0]
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"p={p} is no probability; accepted: 0 to 1.")
    if not runs_natively(x):
        return F.dropout(x, p)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    is_last = x.ndim == 4 and not x.is_contiguous()
    is_last = is_last and x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_last else torch.contiguous_format
    return _Dropout.apply(x, seed, p, layout)  # type: ignore[no-any-return, no-untyped-call]


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, p: float, layout: torch.memory_format) -> Tensor:
        ctx.rest = (seed, p, layout)
        kept = LEVELS - round(p * LEVELS)
        scale = LEVELS / kept if kept else 0.0
        x = x.contiguous(memory_format=layout)
        y = torch.empty_like(x)
        call("dropout_apply", _APPLY, x.data_ptr(), y.data_ptr(), x.numel(), seed, kept, scale)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Mask the gradient in the same way, by an operation that can itself be differentiated."""
        return _Dropout.apply(grad, *ctx.rest), None, None, None  # type: ignore[no-untyped-call]
