"""On what the arithmetic runs: device, threads, memory layout, precision."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from striate.config import ExecutionConfig
from striate.errors import ConfigError
from striate.layers.geometry import ledger

__all__ = ["Execution", "keep_pages", "num_threads", "threads"]

_LITTLE_WORK = 150_000_000
"""Multiply-adds of a step's forward pass below which threads wait for each other more than they
help; benchmarks/threads.py measures it."""


def keep_pages() -> None:
    """Have the C library keep freed memory for the next step instead of handing it back.

    Fresh pages are filled by the system at a fraction of the speed of used ones, and a training
    step frees and takes the same blocks again and again. Only glibc offers this.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "gnu_get_libc_version"):
        return
    trim_threshold, mmap_max = -1, -4  # names of <malloc.h>
    library.mallopt(mmap_max, 0)
    library.mallopt(trim_threshold, 2**31 - 1)


def num_threads(config: ExecutionConfig, network: nn.Module, batch_shape: tuple[int, ...]) -> int:
    """CPU threads for a training: what the configuration says, else one where work is little.

    The answer follows from the network alone, not from a measurement, so that two trainings
    with one seed take the same path.
    """
    if config.threads is not None:
        return config.threads
    work = sum(row.multiply_adds for row in ledger(network, batch_shape[1:]))
    return 1 if work * batch_shape[0] < _LITTLE_WORK else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch with so many CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Execution:
    """A resolved device with its layout and precision."""

    device: torch.device
    channels_last: bool
    precision: str

    @classmethod
    def of(cls, config: ExecutionConfig) -> "Execution":
        """The execution that a configuration asks for on this machine.

        Raises:
            ConfigError: a device that is not there.
        """
        return cls(_device(config.device), config.channels_last, config.precision)

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, its convolutions in the chosen layout."""
        network = network.to(self.device)
        if self.channels_last and any(p.ndim == 4 for p in network.parameters()):
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward passes: mixed precision where it is asked for."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def describe(self) -> dict[str, object]:
        """Device, threads and versions as JSON values, for the run's record."""
        name = str(self.device)
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise ConfigError(
            f"execution.device={wanted!r} is not a device. Accepted: auto, cpu, cuda, cuda:1, mps."
        ) from None
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        here = ", ".join(name for name, is_here in present.items() if is_here)
        raise ConfigError(f"execution.device={wanted!r} is not on this machine. Here: {here}.")
    return device
