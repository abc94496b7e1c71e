"""striate inspect."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.option import say


def inspect(
    data: Annotated[
        str, typer.Argument(help="A folder, an archive, a list, or a name, as for train.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the page; inspections/NAME by default."),
    ] = None,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Look for mirrored and turned copies that were also cut."),
    ] = False,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Look for wrong labels and outliers.")
    ] = True,
    open_test: Annotated[
        bool,
        typer.Option(
            "--open-test", help="Check test labels too: an opening, written into the ledger."
        ),
    ] = False,
    groups: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help='Pattern of group names in paths: "*/GROUP/*".'),
    ] = None,
) -> None:
    """Look for copies, leaks, wrong labels and broken files before training."""
    from rich.console import Console

    from striate import api
    from striate.api.inspection import table
    from striate.terminal import Terminal

    done = api.inspect(
        data,
        out=out,
        flips=flips,
        labels=labels,
        open_test_split=open_test,
        groups=groups,
        reporter=Terminal(),
    )
    Console(highlight=False).print(table(done.findings))
    for note in done.findings.notes:
        say(note)
    say(f"Page: {done.report}")
