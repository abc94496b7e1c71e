"""Deep learning for images that people can see through."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Evaluation",
    "Inspection",
    "Prediction",
    "Run",
    "evaluate",
    "evaluate_runs",
    "inspect",
    "load",
    "resume",
    "see",
    "train",
    "why",
]
_APART = {"see": "striate.api.seeing", "why": "striate.api.explanation"}
"""Functions of modules that a training does without."""

if TYPE_CHECKING:
    from striate.api import (
        Evaluation,
        Inspection,
        Prediction,
        Run,
        evaluate,
        evaluate_runs,
        inspect,
        load,
        resume,
        train,
    )
    from striate.api.explanation import why
    from striate.api.seeing import see


def __getattr__(name: str) -> Any:
    """The public names, fetched when first used: importing the package does no work."""
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(_APART.get(name, "striate.api")), name)
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
