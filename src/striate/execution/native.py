"""The native kernels that are available here, without a need for them."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["native_name", "operator"]


@cache
def operator(name: str) -> Callable[..., Any] | None:
    """An operator of `striate.kernels` by name; None where it is missing or cannot run here."""
    try:
        kernels = importlib.import_module("striate.kernels")
    except ImportError:
        return None
    if not kernels.available():
        return None
    found: Callable[..., Any] | None = getattr(kernels, name, None)
    return found


def native_name() -> str | None:
    """The instruction set of the native kernels in use; None where torch is alone."""
    try:
        kernels = importlib.import_module("striate.kernels")
    except ImportError:
        return None
    return str(kernels.isa()) if kernels.available() else None
