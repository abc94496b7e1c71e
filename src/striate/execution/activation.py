"""Activations by torch's operators, and the layers that compute them in one native pass."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.execution.native import operator

__all__ = ["ACTIVATIONS", "GELU", "Tanh"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
}
"""What can follow a normalisation in one pass over the memory."""


def _activated(x: Tensor, name: str) -> Tensor:
    native = operator("activate")
    y: Tensor = ACTIVATIONS[name](x) if native is None else native(x, name)
    return y


class GELU(nn.GELU):
    """GELU, exact or in its tanh form."""

    striate_plain = nn.GELU

    def forward(self, input: Tensor) -> Tensor:
        return _activated(input, "gelu_tanh" if self.approximate == "tanh" else "gelu")


class Tanh(nn.Tanh):
    """The hyperbolic tangent."""

    striate_plain = nn.Tanh

    def forward(self, input: Tensor) -> Tensor:
        return _activated(input, "tanh")
