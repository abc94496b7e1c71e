"""The peak of this machine: float32 matrix products, and copying memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from striate.calculus.cost import seconds_now
from striate.errors import ConfigError
from striate.randomness import generator
from striate.typed_json import JsonRecord

__all__ = ["Peak", "measured_peak"]

_CACHE_BYTES = 64 * 2**20
"""Bytes of what is copied: more than the caches of most processors hold."""


@dataclass(frozen=True)
class Peak(JsonRecord):
    """The best that was measured on a device."""

    flop_per_second: float
    """Of a float32 matrix product, two for each multiply-add."""
    bytes_per_second: float
    """Of a copy, bytes read and bytes written together."""
    device: str
    threads: int
    """Threads of the processor that torch used."""

    @property
    def balance(self) -> float:
        """FLOP per byte from which on a layer is bound by computing, below it by memory."""
        return self.flop_per_second / self.bytes_per_second

    def least_seconds(self, flop: float, num_bytes: float) -> float:
        """The least time that such an amount of work can take: the roofline.

        Source: Williams, Waterman and Patterson, Roofline (2009), section 3.

        Example:
            >>> Peak(100.0, 10.0, "cpu", 1).least_seconds(flop=200.0, num_bytes=5.0)
            2.0
        """
        return max(flop / self.flop_per_second, num_bytes / self.bytes_per_second)


def measured_peak(
    device: torch.device | str = "cpu",
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] | None = None,
) -> Peak:
    """The best speed of a matrix product and of a copy, measured here and now.

    Args:
        device: Where to measure; with the threads and the precision that torch is set to.
        seconds: Time that both take together, about; at least three repeats of each are made.
        clock: Function that returns seconds; by default the machine's, once the device is done.

    Raises:
        ConfigError: seconds that are not positive.
    """
    if not seconds > 0:
        raise ConfigError(f"seconds={seconds} must be more than 0.")
    device = torch.device(device)
    read = clock or partial(seconds_now, device)
    size = 1024 if device.type == "cpu" else 4096
    draw = generator(0, "peak")
    a, b = (torch.randn(size, size, generator=draw).to(device) for _ in "ab")
    product = torch.empty_like(a)
    best = _best(lambda: torch.mm(a, b, out=product), seconds / 2, read)
    source = torch.ones(_CACHE_BYTES, dtype=torch.uint8, device=device)
    copied = torch.zeros_like(source)
    best_copy = _best(lambda: copied.copy_(source), seconds / 2, read)
    return Peak(
        2 * size**3 / best, 2 * _CACHE_BYTES / best_copy, str(device), torch.get_num_threads()
    )


def _best(work: Callable[[], object], seconds: float, read: Callable[[], float]) -> float:
    """The shortest of repeated times; the first one warms up."""
    work()
    begin = read()
    times: list[float] = []
    while len(times) < 3 or read() - begin < seconds:
        start = read()
        work()
        times.append(read() - start)
    return min(times)
