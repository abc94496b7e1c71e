"""striate see, striate why, striate table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from striate.cli.option import JsonFile, MovedData, parse_sizes, set_option, write_figures


def see(
    run: Annotated[
        Path | None, typer.Argument(help="Folder of a run; or published weights: --pretrained.")
    ] = None,
    parts: Annotated[
        str | None,
        typer.Argument(help="Parts, with commas: attribution,patches,... (striate list parts)."),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            "--pretrained", metavar="NAME|FILE", help="Published weights instead of a run."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", "-n", help="Name of the network whose weights a file holds."),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="FILE|FOLDER",
            help="Images to explain, instead of some of the validation split.",
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="Class to explain, instead of the predicted one."
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer to show, instead of the last one with positions.")
    ] = None,
    unit: Annotated[
        int | None,
        typer.Option(min=0, help="Channel of that layer to explain, instead of a class."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New folder of the gallery.")
    ] = None,
    data: MovedData = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn by chance.")] = 0,
) -> None:
    """Show what a network has learned: a page of pictures with the numbers behind them."""
    from striate.api.seeing import see as make
    from striate.terminal import Terminal

    if run is not None and parts is None and pretrained is not None:
        run, parts = None, str(run)  # striate see --pretrained NAME PART,PART
    terminal = Terminal()
    page = make(
        run,
        tuple(part for part in (parts or "").split(",") if part),
        pretrained=pretrained,
        network=network,
        images=image,
        label=class_,
        layer=layer,
        unit=unit,
        out=out,
        data=data,
        seed=seed,
        reporter=terminal,
    )
    terminal.say(f"Gallery: {page}")


def why(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    image: Annotated[Path, typer.Argument(help="Image whose prediction is explained.")],
    class_: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Class that it is of, to compare with."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COLUMN",
            help="Position of the object to explain, where objects are predicted.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="New folder of the page.")] = None,
    data: MovedData = None,
    json_: JsonFile = None,
) -> None:
    """Explain one prediction: its evidence, the nearest training images, how unlike them it is."""
    from striate.api.explanation import why as explain
    from striate.terminal import Terminal

    terminal = Terminal()
    found = explain(
        run,
        image,
        label=class_,
        at=None if at is None else _position(at),
        out=out,
        data=data,
        reporter=terminal,
    )
    terminal.say(found.text())
    write_figures(json_, found.to_json())


def table(
    network: Annotated[
        str, typer.Argument(help="Name of a network (striate list networks), or folder of a run.")
    ],
    shape: Annotated[
        str | None,
        typer.Option(help="Channels and spatial sizes of an image: 3,32,32, or the run's."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time each layer, and the machine's peak.")
    ] = False,
    other: Annotated[
        str | None, typer.Option("--other", help="Network or run to show side by side.")
    ] = None,
    depth: Annotated[
        int, typer.Option(min=0, help="Fold modules at this depth of names; 0: show all layers.")
    ] = 0,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in the batch.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Number of timed rounds.")] = 15,
    seed: Annotated[int, typer.Option(help="Random seed of weights and noise.")] = 0,
    set_: Annotated[
        list[str] | None, set_option("Setting of a network by name: network.depth=20 ...")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="File for the page.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the rows as CSV.")] = None,
    json_: JsonFile = None,
) -> None:
    """Show what each layer costs, sees and keeps in memory; measured if asked for."""
    from striate import durable
    from striate.api import table as api
    from striate.terminal import Terminal

    terminal, sizes = Terminal(), None
    if shape is not None:
        sizes = parse_sizes(shape, "--shape", "shape; write channels and sizes: 3,32,32")
    options: dict[str, Any] = {
        "shape": sizes,
        "num_classes": classes,
        "batch_size": batch,
        "measure": measure,
        "repeats": repeats,
        "seed": seed,
        "reporter": terminal,
    }
    found = api.table(network, assignments=tuple(set_ or ()), **options)
    second = None if other is None else api.table(other, **options)
    if second is None:
        typer.echo(found.text(depth))
    else:
        typer.echo(api.comparison_text(found.table, second.table, depth=depth))
        for each in (found, second):
            typer.echo("\n".join([f"{each.title}:", *(each.issue_lines() or ["nothing to mend"])]))
    if html is not None:
        found.write_page(html, second)
    if csv is not None:
        durable.write_bytes(csv, api.table_csv(found.table, depth=depth).encode())
    write_figures(json_, found.to_json())


def _position(text: str) -> tuple[int, int]:
    """Row and column, from 0 on.

    Raises:
        ConfigError: other text.
    """
    from striate.errors import ConfigError

    row, comma, column = text.partition(",")
    if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
        raise ConfigError(f"--at {text} is no position; write row and column, from 0 on: 120,45.")
    return int(row), int(column)
