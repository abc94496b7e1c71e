"""striate race, striate rate, striate variance."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.option import NetworkName, set_option, writable_file


def race(
    surface: Annotated[
        list[str] | None,
        typer.Option(
            "--surface",
            "-s",
            help="Surface: ravine, saddle, plateau, rosenbrock, beale, himmelblau or network; "
            "repeatable. Default: all.",
        ),
    ] = None,
    optimiser: Annotated[
        list[str] | None,
        typer.Option("--optimiser", "-o", help="Name; repeatable; see: striate list optimisers."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of steps of each run.")] = 150,
    png: Annotated[
        Path | None, typer.Option(help="File for a picture of the tracks.", callback=writable_file)
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="File for an interactive page that works offline.", callback=writable_file
        ),
    ] = None,
    gif: Annotated[
        Path | None,
        typer.Option(help="File for a moving picture of the first race.", callback=writable_file),
    ] = None,
) -> None:
    """Let optimisers run on hard surfaces, each at its best learning rate."""
    from striate.api.optimisation import race as run
    from striate.terminal import Terminal

    terminal = Terminal()
    races = run(
        surface or (),
        optimiser or (),
        num_steps=steps,
        png=png,
        html=html,
        gif=gif,
        reporter=terminal,
    )
    terminal.close()
    typer.echo("\n\n".join(one.text() for one in races))
    for path in (png, html, gif):
        if path is not None:
            typer.echo(f"wrote {path}")


def rate(
    data: Annotated[str, typer.Argument(help="Folder or archive of images, or a name.")],
    network: NetworkName = None,
    steps: Annotated[int, typer.Option(min=10, help="Number of steps of the test.")] = 100,
    lowest: Annotated[float, typer.Option(help="First learning rate.")] = 1e-5,
    highest: Annotated[float, typer.Option(help="Last learning rate.")] = 10.0,
    png: Annotated[
        Path | None,
        typer.Option(help="File for a chart of loss against rate.", callback=writable_file),
    ] = None,
    set_: Annotated[list[str] | None, set_option("Setting: optimiser=adamw ...")] = None,
) -> None:
    """Find the learning rate: train briefly with a rising one and see where the loss falls."""
    from striate.api.optimisation import range_test
    from striate.terminal import Terminal

    terminal = Terminal()
    test = range_test(
        data,
        network=network,
        num_steps=steps,
        lowest=lowest,
        highest=highest,
        assignments=tuple(set_ or ()),
        png=png,
        reporter=terminal,
    )
    terminal.close()
    typer.echo(f"{'rate':>10}  {'loss':>8}  {'smoothed':>8}")
    last = len(test.rates) - 1
    for i in sorted({round(last * k / 12) for k in range(13)}):
        typer.echo(f"{test.rates[i]:>10.3g}  {test.losses[i]:>8.4g}  {test.smoothed[i]:>8.4g}")
    typer.echo(f"suggested learning rate: {test.suggested:.2g} (steepest fall of the loss)")
    typer.echo(f"lowest loss at: {test.highest:.2g} (beyond it training comes apart)")
    if png is not None:
        typer.echo(f"wrote {png}")


def variance(
    network: Annotated[str, typer.Argument(help="Name of a network; see: striate list networks.")],
    initialisation: Annotated[
        list[str] | None,
        typer.Option(
            "--initialisation",
            "-i",
            help="Initialisation: glorot, kaiming, orthogonal, lsuv or whiten; repeatable. "
            "Default: all.",
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Height and width of the input.")] = 32,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the input.")] = 3,
    seed: Annotated[int, typer.Option(help="Random seed of weights and inputs.")] = 0,
    set_: Annotated[
        list[str] | None, set_option("Setting of the network: network.depth=20 ...")
    ] = None,
) -> None:
    """Compare first weights: forward and backward variances, layer by layer."""
    from striate.api.optimisation import compare_text
    from striate.api.optimisation import variance as measure

    tables = measure(
        network,
        initialisations=initialisation or (),
        assignments=tuple(set_ or ()),
        input_size=size,
        channels=channels,
        seed=seed,
    )
    typer.echo(compare_text(tables))
