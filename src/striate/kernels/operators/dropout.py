"""Dropout whose mask follows from a seed and the places of the values, and is never stored."""

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ConfigError
from striate.kernels import library
from striate.kernels.operators.native import (
    FLOAT,
    INT,
    POINTER,
    SIZE,
    call,
    float32_on_cpu,
    transformed,
)
from striate.kernels.operators.registration import define, register

__all__ = ["dropout"]

LEVELS = 2**16
"""Distinct values of the 16-bit random numbers that decide what is kept."""

_APPLY = (POINTER, POINTER, SIZE, SIZE, INT, FLOAT)
define("dropout(Tensor x, Tensor seed, float p, bool channels_last) -> Tensor")


def dropout(
    x: Float[Tensor, "*any"], p: float = 0.5, seed: Int[Tensor, ""] | None = None
) -> Float[Tensor, "*any"]:
    """x with each value set to zero with probability p, the others scaled so that the mean stays.

    Philox numbers, keyed by the seed and counted in the order of memory, are computed again in
    the backward pass: nothing is stored. The probability is p rounded to 1/65536; the scale is its
    exact inverse. The mask is the same for any number of threads, instruction set and number type.

    Args:
        x: of any shape.
        p: between 0 and 1.
        seed: of the mask, an int64 on the CPU; drawn from torch's default generator if not given.

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
    # The compiler cannot trace the drawing of a seed.
    untraced = seed is None and torch.compiler.is_compiling()
    if untraced or transformed() or x.device.type not in ("cpu", "meta"):
        return F.dropout(x, p)
    seed = torch.empty((), dtype=torch.int64).random_() if seed is None else seed
    y: Tensor = torch.ops.striate.dropout(x, seed, p, _channels_last(x))
    return y


def philox(counter: list[int], key: list[int]) -> list[int]:
    """The four words of the native generator for a counter of four and a key of two words."""
    words = [(ctypes.c_uint32 * len(v))(*v) for v in (counter, key, [0] * 4)]
    call("dropout_philox", (POINTER,) * 3, *(ctypes.addressof(w) for w in words))
    return list(words[2])


def _channels_last(x: Tensor) -> bool:
    if x.ndim != 4 or x.is_contiguous():
        return False
    return x.is_contiguous(memory_format=torch.channels_last)


def _order(x: Tensor, channels_last: bool) -> Tensor:
    """x with its values in the order that the mask counts."""
    kind = torch.channels_last if channels_last else torch.contiguous_format
    return x.contiguous(memory_format=kind)


def _dropout(x: Tensor, seed: Tensor, p: float, channels_last: bool) -> Tensor:
    kept = LEVELS - round(p * LEVELS)
    scale = LEVELS / kept if kept else 0.0
    ordered = _order(x, channels_last)
    if float32_on_cpu(x) and library.available():
        y = torch.empty_like(ordered)
        key = int(seed)
        call("dropout_apply", _APPLY, ordered.data_ptr(), y.data_ptr(), x.numel(), key, kept, scale)
        return y
    axes = (0, 2, 3, 1) if channels_last else tuple(range(x.ndim))
    shape = [x.shape[axis] for axis in axes]
    mask = (_numbers(x.numel(), int(seed)) < kept).view(shape).to(x.device)
    mask = mask.permute(0, 3, 1, 2) if channels_last else mask
    return torch.where(mask, ordered * scale, torch.zeros((), dtype=x.dtype, device=x.device))


def _numbers(size: int, seed: int) -> Tensor:
    """The native kernel's 16-bit numbers by torch's operators, as int64."""
    word, blocks = 2**32 - 1, -(-size // 128)
    counter = torch.arange(blocks * 16)
    w = [counter & word, counter >> 32, torch.zeros_like(counter), torch.zeros_like(counter)]
    keys = [seed & word, (seed >> 32) & word]
    for _ in range(10):
        first, second = 0xD2511F53 * w[0], 0xCD9E8D57 * w[2]  # low 64 bits of the products
        w = [
            (second >> 32 & word) ^ w[1] ^ keys[0],
            second & word,
            (first >> 32 & word) ^ w[3] ^ keys[1],
            first & word,
        ]
        keys = [(keys[0] + 0x9E3779B9) & word, (keys[1] + 0xBB67AE85) & word]
    words = torch.stack([v.view(blocks, 16) for v in w], dim=1)
    return torch.stack([words & 0xFFFF, words >> 16], dim=-1).flatten()[:size]


def _fake(x: Tensor, seed: Tensor, p: float, channels_last: bool) -> Tensor:
    return torch.empty_like(_order(x, channels_last))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, seed, ctx.p, ctx.channels_last = inputs
    ctx.save_for_backward(seed)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Mask the gradient by an operation that can itself be differentiated."""
    (seed,) = ctx.saved_tensors
    return torch.ops.striate.dropout(grad, seed, ctx.p, ctx.channels_last), None, None, None


register("dropout", _dropout, _fake, _gradients, _save, elementwise=False)
