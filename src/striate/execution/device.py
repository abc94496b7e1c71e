"""Device, layout, precision, threads and operators of the arithmetic."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from striate.config import ExecutionConfig
from striate.errors import ConfigError
from striate.typed_json import encode

_THREADS_PER_CORE = 4


def thread_problem(count: int | None) -> str | None:
    """Why so many CPU threads cannot be had, for a person; None where they can.

    Example:
        >>> thread_problem(0)
        'execution.threads=0 must be 1 or more.'
    """
    cores = os.cpu_count() or 1
    if count is not None and count < 1:
        return f"execution.threads={count} must be 1 or more."
    if count is not None and count > _THREADS_PER_CORE * cores:
        return f"execution.threads={count} is too many; this machine has {cores} core(s)."
    return None


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
    """How a network runs: all that was chosen, so that it can be repeated.

    The first three fields alone are torch as it comes.
    """

    device: torch.device
    channels_last: bool
    precision: str
    """float32, tf32 or bfloat16."""
    threads: int | None = None
    """CPU threads; None: torch's own choice."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """Convolutions by name, each with its methods "forward,data,weight"; the others are torch's."""
    layers: tuple[str, ...] = ()
    """Other kinds of layers that run on Striate's operators: "norm", "pool", "activation" ..."""
    compiled: str | None = None
    """Mode of torch.compile; None: not compiled."""
    origin: str = "given"
    """Origin of the choice: given, guessed, measured or remembered."""

    @classmethod
    def of(cls, config: ExecutionConfig) -> "Execution":
        """The execution that a configuration names on this machine, with torch's operators.

        Raises:
            ConfigError: a device that is not there.
        """
        device = _device(config.device)
        precision = _precision(config.precision, device)
        return cls(device, config.channels_last is not False, precision, config.threads)

    @classmethod
    def recorded(cls, config: ExecutionConfig, record: Mapping[str, Any] | None) -> "Execution":
        """The execution that a run was made with; of a run that recorded none, torch's operators.

        Threads that were not configured and that this machine does not have are left out.

        Raises:
            ConfigError: a device that is not there.
        """
        plain = cls.of(config)
        if not record:
            return plain
        count = config.threads
        if count is None and record.get("threads") is not None:
            count = min(int(record["threads"]), torch.get_num_threads())
        return cls(
            plain.device,
            bool(record.get("channels_last", plain.channels_last)),
            _precision(str(record.get("precision", plain.precision)), plain.device),
            count,
            dict(record.get("methods", {})),
            tuple(record.get("layers", ())),
            record.get("compiled"),
            str(record.get("origin", "given")),
        )

    def to_json(self) -> dict[str, Any]:
        """The choice as JSON values, for the run's record; the device is in the configuration."""
        values: dict[str, Any] = encode(self)
        del values["device"]
        return values

    def summary(self) -> str:
        """One sentence for a person."""
        what = [] if self.device.type != "cpu" else [f"{self.threads or 'all'} thread(s)"]
        if self.methods or self.layers:
            what.append("Striate's kernels")
        what += [self.precision] if self.precision != "float32" else []
        what += ["compiled"] if self.compiled else []
        return f"Runs on {', '.join([self.device.type, *what])} ({self.origin})."

    @property
    def is_plain(self) -> bool:
        """Whether every operator is torch's own."""
        return not self.methods and not self.layers and self.compiled is None

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, its convolutions in the chosen layout."""
        network = network.to(self.device)
        if self.channels_last and any(p.ndim == 4 for p in network.parameters()):
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward passes: mixed precision where it was chosen."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Threads and, on GPUs, the rounding of products, as chosen, inside the block.

        float32 means float32 there too: torch by itself lets cuDNN round to TF32's 10 bits.
        """
        with ExitStack() as stack:
            stack.enter_context(threads(self.threads or torch.get_num_threads()))
            if self.device.type == "cuda":
                for kind in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):  # type: ignore[attr-defined]
                    stack.callback(setattr, kind, "fp32_precision", kind.fp32_precision)
                    kind.fp32_precision = "tf32" if self.precision == "tf32" else "ieee"
            yield

    def describe(self) -> dict[str, object]:
        """Device, threads and versions as JSON values, for the run's record."""
        name = str(self.device)
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return {
            "device": name,
            "machine": platform.machine(),
            "threads": self.threads or torch.get_num_threads(),
            "torch": torch.__version__,
        }


def _precision(configured: str, device: torch.device) -> str:
    """The precision on a device; "auto" rounds nothing until that was measured to be faster."""
    if configured == "auto" or (configured == "tf32" and device.type != "cuda"):
        return "float32"
    return configured


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
