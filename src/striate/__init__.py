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
    "train",
]

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


def __getattr__(name: str) -> Any:
    """The public names, fetched when first used: importing the package does no work."""
    if name in __all__:
        from striate import api

        return getattr(api, name)
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
