"""A plain network on the execution that Striate chooses for it by measuring."""

from importlib.metadata import PackageNotFoundError, version

import torch
from torch import nn

from striate.config import ExecutionConfig
from striate.execution import Execution, accelerate, choose, keep_pages, trial_seconds

__all__ = ["prepared", "versions"]

_TRIAL_SECONDS = trial_seconds(600.0)  # what a ten-minute training gives it


def prepared(network: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, Execution, str]:
    """The network as Striate runs it, its execution, and in words how that was found.

    Args:
        network: with fresh weights.
        shape: (B, C, H, W) of its batches.
    """
    keep_pages()
    trial = choose(network, shape, ExecutionConfig(device="cpu"), seconds=_TRIAL_SECONDS)
    found = trial.execution
    words = (
        f"{found.origin}: {len(found.methods)} convolution(s) and layers {list(found.layers)} on "
        f"own operators, {found.threads or 'all'} thread(s), compiled: {found.compiled}, "
        f"precision {found.precision}"
    )
    return accelerate(found.place(network), found), found, words


def versions() -> dict[str, str]:
    """Of Striate and torch."""
    try:
        own = version("striate")
    except PackageNotFoundError:  # run from its source folder
        from striate import __version__ as own
    return {"striate": own, "torch": torch.__version__}
