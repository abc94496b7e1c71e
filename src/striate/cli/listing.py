"""striate list."""

from enum import StrEnum
from typing import Annotated

import typer

from striate.cli.option import PrintJson, print_utf8

Kind = StrEnum(
    "Kind",
    "networks weights predictors losses optimisers schedules augmentations layers data "
    "parts recipes tasks",
)
"""The kinds of names that can be listed."""


def list_(
    kind: Annotated[Kind, typer.Argument(help="Kind of names.")],
    as_json: PrintJson = False,
) -> None:
    """List the names that can be used, with what each is."""
    from striate.api.listing import listing

    rows = listing(kind.value)
    if as_json:
        import json

        print_utf8()
        typer.echo(json.dumps([row._asdict() for row in rows], ensure_ascii=False, indent=2))
        return
    width = max(len(row.name) for row in rows)
    for row in rows:
        typer.echo(f"{row.name:<{width}}  {row.text}")
        if row.arguments:
            typer.echo(f"{'':<{width}}  {row.arguments}")
