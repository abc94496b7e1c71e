"""Who is measured in training, and how each is called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TRAINERS", "TUNED", "Trainer"]

TUNED: dict[str, Any] = {"layout": "nhwc", "keep_pages": True, "fused": True}
"""Where the search for the best settings of PyTorch begins."""


@dataclass(frozen=True)
class Trainer:
    """One row of a table."""

    title: str
    env: str | None
    worker: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    searched: bool = False
    """Its settings are searched for first, or taken over from `torch-tuned`."""
    compiles: bool = False
    extra: bool = False
    """Other arithmetic than float32: shown, and left out of comparisons."""


_TORCH, _KERAS = "train_torch.py", "train_keras.py"

TRAINERS = {
    "striate": Trainer("Striate", None, "train_striate.py", searched=True),
    "torch": Trainer("PyTorch", "torch", _TORCH),
    "torch-tuned": Trainer("PyTorch, tuned", "torch", _TORCH, TUNED, searched=True),
    "torch-compile": Trainer(
        "torch.compile", "torch", _TORCH, {"compile": True, "keep_pages": True}, compiles=True
    ),
    "torch-compile-nhwc": Trainer(
        "torch.compile, channels last", "torch", _TORCH, {**TUNED, "compile": True}, compiles=True
    ),
    "lightning": Trainer("Lightning", "lightning", "train_lightning.py"),
    "jax": Trainer("JAX/Flax, jit", "jax", "train_jax.py", compiles=True),
    "keras-torch": Trainer(
        "Keras 3 on PyTorch", "keras", _KERAS, {"backend": "torch", "format": "channels_first"}
    ),
    "keras-jax": Trainer(
        "Keras 3 on JAX",
        "keras-jax",
        _KERAS,
        {"backend": "jax", "format": "channels_last"},
        compiles=True,
    ),
    "torch-bf16": Trainer(
        "PyTorch, bfloat16 autocast", "torch", _TORCH, {**TUNED, "bf16": True}, extra=True
    ),
}
