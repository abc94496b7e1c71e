"""striate profile."""

from typing import Annotated

import typer

from striate.cli.option import PrintJson, parse_sizes, print_utf8, set_option


def profile(
    what: Annotated[str, typer.Argument(help="A network's name, or the folder of a run.")],
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images in a batch; the run's, or 128.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Height and width; the run's, or 32x32.")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Channels of an image; the run's, or 3.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again, whatever is remembered.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=1.0, help="About how long the trial may take.")
    ] = 15.0,
    as_json: PrintJson = False,
    set_: Annotated[
        list[str] | None, set_option("Setting: network.depth=56 execution.threads=1 ...")
    ] = None,
) -> None:
    """Measure how a network runs fastest on this machine, layer by layer, and remember it."""
    from striate.api.profile import profile as run
    from striate.api.profile import trial_json, trial_text

    trial = run(
        what,
        batch_size=batch,
        size=None if size is None else _size(size),
        channels=channels,
        num_classes=classes,
        fresh=fresh,
        seconds=seconds,
        assignments=tuple(set_ or ()),
    )
    if as_json:
        import json

        print_utf8()
        typer.echo(json.dumps(trial_json(trial), ensure_ascii=False, indent=2))
        return
    typer.echo(trial_text(trial))


def _size(text: str) -> tuple[int, int]:
    form = "size; write height and width in pixels: 32x48"
    sizes = parse_sizes(text, "--size", form, most=2)
    return sizes[0], sizes[-1]
