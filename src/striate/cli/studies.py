"""striate cv; striate train --seeds ends here too."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.api.crossvalidation import CrossValidation
    from striate.api.seeds import SeedStudy

__all__ = ["cv", "tell"]


def cv(
    data: Annotated[str, typer.Argument(help="As in train.")],
    folds: Annotated[int, typer.Option("--folds", "-k", help="How many.")] = 5,
    repeat: Annotated[int, typer.Option(help="How many times the images are divided.")] = 1,
    network: Annotated[str | None, typer.Option("--network", "-n", help="As in train.")] = None,
    pretrained: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="As in train.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Of each training.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of each training.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", "-m", help="Of each one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first training; others follow.")] = None,
    groups: Annotated[str | None, typer.Option(metavar="PATTERN", help="As in train.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the study.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting.")
    ] = None,
) -> None:
    """Cross-validate: a training for each fold of all images outside the test split."""
    from striate.api.crossvalidation import cross_validate
    from striate.terminal import Terminal

    tell(
        cross_validate(
            data,
            folds=folds,
            repeats=repeat,
            out=out,
            reporter=Terminal(),
            network=network,
            pretrained=pretrained,
            epochs=epochs,
            steps=steps,
            minutes=minutes,
            seed=seed,
            groups=groups,
            assignments=tuple(set_ or ()),
        )
    )


def tell(study: "CrossValidation | SeedStudy") -> None:
    """A study's result; the exit code of the signal for a stopped one."""
    if study.stopped_by is not None:
        typer.echo(f"{study.path} goes on where it stopped with the same command.")
        raise typer.Exit(128 + study.stopped_by)
    for line in study.lines():
        typer.echo(line)
    typer.echo(f"Page: {study.page}")
