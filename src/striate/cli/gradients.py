"""striate check, striate graph, striate jacobian, striate bptt."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.option import parse_sizes, set_option, writable_file

Network = Annotated[str, typer.Argument(help="Name of a network; see: striate list networks.")]
Shape = Annotated[str, typer.Option(help="Channels and spatial sizes of the input.")]
Classes = Annotated[int, typer.Option(min=1, help="Number of classes.")]
BatchSize = Annotated[int, typer.Option("--batch", min=1, help="Images in the batch.")]
Seed = Annotated[int, typer.Option(help="Random seed of weights and noise.")]
Settings = Annotated[list[str] | None, set_option("Setting of a part: network.depth=20 ...")]


def check(
    network: Network,
    loss: Annotated[
        str, typer.Option(help="Name of a loss; see: striate list losses.")
    ] = "softmax_cross_entropy",
    data: Annotated[
        str | None, typer.Option(help="Folder or archive of images, or a name; else noise.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="Channels and spatial sizes of the noise: 3,32,32.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Number of classes; the data's, or 10.")
    ] = None,
    batch: BatchSize = 2,
    elements: Annotated[
        int, typer.Option(min=0, help="Single elements to check in a large tensor; 0: quick.")
    ] = 4,
    projections: Annotated[
        int, typer.Option(min=1, help="Random directions to check in a large tensor.")
    ] = 2,
    seed: Annotated[int, typer.Option(help="Random seed of weights, noise and directions.")] = 0,
    set_: Settings = None,
) -> None:
    """Check every gradient of a network against differences; exit code 1 if one is wrong."""
    from striate.api.gradients import check as run
    from striate.terminal import Terminal

    terminal = Terminal()
    report = run(
        network,
        loss,
        data=data,
        shape=None if shape is None else _sizes(shape),
        num_classes=classes,
        batch_size=batch,
        elements=elements,
        projections=projections,
        seed=seed,
        assignments=tuple(set_ or ()),
        reporter=terminal,
    )
    terminal.close()
    typer.echo(str(report))
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def graph(
    what: Annotated[str, typer.Argument(help='Formula such as "(x+y)*z", or a network\'s name.')],
    values: Annotated[
        list[str] | None, typer.Argument(help="Values of the variables: x=-2 y=5 z=[1,2].")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="File for a picture of the graph.", callback=writable_file)
    ] = None,
    mirror: Annotated[
        Path | None,
        typer.Option(
            help="File for a picture of the network above its backward network.",
            callback=writable_file,
        ),
    ] = None,
    depth: Annotated[
        int, typer.Option(min=0, help="Depth to which a network is unfolded; 0: every operation.")
    ] = 1,
    shape: Shape = "3,32,32",
    classes: Classes = 10,
    batch: BatchSize = 2,
    seed: Seed = 0,
    set_: Settings = None,
) -> None:
    """Show the computational graph of a formula or a network: value and gradient on every edge."""
    from striate.api import gradients
    from striate.api.gradients import NETWORKS, graph_svg
    from striate.errors import ConfigError

    named = what in NETWORKS
    if named and values:
        raise ConfigError(f"{what!r} is a network; values are for the variables of a formula.")
    if mirror is not None and not named:
        raise ConfigError(f"--mirror draws networks; {what!r} is none. See: striate list networks.")
    options = {
        "shape": _sizes(shape),
        "num_classes": classes,
        "batch_size": batch,
        "seed": seed,
        "assignments": tuple(set_ or ()),
    }
    if named:
        drawn = gradients.network_graph(what, depth=depth or None, **options)
    else:
        drawn = gradients.graph(what, tuple(values or ()))
    typer.echo(str(drawn))
    if svg is not None:
        _write(svg, graph_svg(drawn, title=what))
    if mirror is not None:
        _write(mirror, gradients.mirror(what, depth=max(depth, 1), **options))


def jacobian(
    expression: Annotated[str, typer.Argument(help='Formula such as "softmax(x)".')],
    values: Annotated[list[str], typer.Argument(help="Values of the variables: x=[1,2,3].")],
    by: Annotated[
        str | None, typer.Option(help="Variable of the derivative; by default the formula's first.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="File for a picture of the matrix.", callback=writable_file)
    ] = None,
) -> None:
    """Write out the Jacobian of a formula: rows are vec f, columns vec x, both row-major."""
    from striate.api import gradients
    from striate.api.gradients import jacobian_svg

    matrix = gradients.jacobian(expression, values, by=by)
    for row in matrix.tolist():
        typer.echo(" ".join(f"{value:>10.4g}" for value in row))
    if svg is not None:
        _write(svg, jacobian_svg(matrix, title=f"Jacobian of {expression}"))


def bptt(
    cell: Annotated[
        list[str] | None,
        typer.Option("--cell", "-c", help="Cell: simple, gru or lstm; repeatable. Default: all."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Time steps.")] = 50,
    hidden: Annotated[int, typer.Option(min=1, help="Units of the state.")] = 32,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 5,
    gain: Annotated[float, typer.Option(help="Factor on the recurrent weights.")] = 1.0,
    forget_bias: Annotated[
        float, typer.Option(help="Number added to the bias of the LSTM's forget gate.")
    ] = 0.0,
    png: Annotated[
        Path | None,
        typer.Option(help="File for a chart of norms against distance.", callback=writable_file),
    ] = None,
) -> None:
    """Measure how gradients vanish or explode with distance in time."""
    from striate.api.gradients import bptt as run
    from striate.api.gradients import decay_text

    measured = run(
        cell or ("simple", "gru", "lstm"),
        num_steps=steps,
        hidden_size=hidden,
        seeds=tuple(range(seeds)),
        gain=gain,
        forget_bias=forget_bias,
        png=png,
    )
    typer.echo(decay_text(measured))
    if png is not None:
        typer.echo(f"wrote {png}")


def _write(path: Path, text: str) -> None:
    from striate import durable

    durable.write_bytes(path, text.encode())
    typer.echo(f"wrote {path}")


def _sizes(text: str) -> tuple[int, ...]:
    return parse_sizes(text, "--shape", "shape; write channels and sizes with commas: 3,32,32")
