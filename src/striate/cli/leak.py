"""The words for test images that have their like among the others, shared by all that train."""

from typing import Annotated, Literal

import typer

__all__ = ["AllowLeaks", "DropLeaks", "leaks"]

AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Go on where test images are among the others too.")
]
DropLeaks = Annotated[
    bool, typer.Option("--drop-leaks", help="Leave out images that have their like in the test.")
]


def leaks(allow: bool, drop: bool) -> Literal["allow", "drop"] | None:
    """What the two options say together."""
    if allow and drop:
        raise typer.BadParameter("--allow-leaks and --drop-leaks exclude each other.")
    return "allow" if allow else "drop" if drop else None
