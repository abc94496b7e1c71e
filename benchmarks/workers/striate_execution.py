"""A plain network on the execution that Striate chooses for it by measuring."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

__all__ = ["prepared", "versions"]

_TRIAL_SECONDS = 15.0  # what a ten-minute training gives it


def prepared(network: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, Any, str]:
    """The network as Striate runs it, its execution, and in words how that was found.

    Where this version of Striate has no chooser yet, the network is only placed (channels last,
    memory kept), and the words say so.

    Args:
        network: with fresh weights.
        shape: (B, C, H, W) of its batches.
    """
    from striate.config import ExecutionConfig

    try:
        from striate.execution import accelerate, choose, keep_pages
    except ImportError:
        from striate.execution import Execution, keep_pages, num_threads

        keep_pages()
        execution = Execution.of(ExecutionConfig(device="cpu"))
        torch.set_num_threads(num_threads(ExecutionConfig(), network, shape))
        return execution.place(network), execution, "plain network: no chooser in this version"
    keep_pages()
    trial = choose(network, shape, ExecutionConfig(device="cpu"), seconds=_TRIAL_SECONDS)
    found = trial.execution
    if found.threads is not None:
        torch.set_num_threads(found.threads)
    words = (
        f"{found.origin}: {len(found.methods)} convolution(s) and layers {list(found.layers)} on "
        f"own operators, compiled: {found.compiled}, precision {found.precision}"
    )
    return accelerate(found.place(network), found), found, words


def versions() -> dict[str, str]:
    """Of Striate and torch."""
    try:
        own = version("striate")
    except PackageNotFoundError:  # run from its source folder
        from striate import __version__ as own
    return {"striate": own, "torch": torch.__version__}
