"""Explicit generators derived from a seed and a name: the only source of randomness.

A stream is named by what it is for and where in the training it is used, for example
`generator(seed, "augmentation", step)`. Its numbers follow from the name alone, so that the
state of all randomness is the seed and the position: nothing is drawn from a global
generator, nothing depends on which thread draws first, and a resumed run draws what the
uninterrupted run would have drawn.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_default_generators = threading.RLock()


def derive_seed(seed: int, *stream: str | int) -> int:
    """A 63-bit seed for a named stream: the first bytes of BLAKE2b over seed and names."""
    text = "\x1f".join(str(part) for part in (seed, *stream))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *stream: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for a named stream.

    Example:
        >>> a = torch.rand(3, generator=generator(0, "order", 4))
        >>> b = torch.rand(3, generator=generator(0, "order", 4))
        >>> torch.equal(a, b)
        True
    """
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *stream))


def some_of(num_items: int, most: int, *stream: str | int) -> "np.ndarray":
    """Indices of at most so many items in rising order, drawn by a named stream; int64 (M,).

    Items at even distances would all be of one class where the classes take turns.
    """
    if num_items <= most:
        return np.arange(num_items)
    drawn = torch.randperm(num_items, generator=generator(0, *stream))[:most]
    return np.sort(drawn.numpy())


def coins(numbers: "np.ndarray", seed: int, *stream: str | int) -> "np.ndarray":
    """A random bit for each number (N,), always the same in one named stream; bool (N,).

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    """
    bits = numbers.astype(np.uint64) + np.uint64(derive_seed(seed, *stream))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(bits >> np.uint64(63), bool)


@contextmanager
def kept_generators() -> Iterator[None]:
    """Put torch's default generators back after the block.

    All threads share them, so one thread at a time is inside.
    """
    in_use = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with _default_generators, torch.random.fork_rng(devices=in_use):
        yield


@contextmanager
def layer_randomness(seed: int, *stream: str | int) -> Iterator[None]:
    """Let layers that can only draw from torch's default generators (dropout) draw from a stream.

    The caller's generators are put back afterwards; see `kept_generators`.
    """
    with kept_generators():
        torch.manual_seed(derive_seed(seed, *stream))
        yield
