"""striate cv, striate search; striate train --seeds ends here too."""

import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from striate.cli.leak import AllowLeaks, DropLeaks, leaks

if TYPE_CHECKING:
    from striate.api.crossvalidation import CrossValidation
    from striate.api.search_result import Search
    from striate.api.seeds import SeedStudy

__all__ = ["cv", "search", "study", "tell"]


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
    allow_leaks: AllowLeaks = False,
    drop_leaks: DropLeaks = False,
    groups: Annotated[str | None, typer.Option(metavar="PATTERN", help="As in train.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the study.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting.")
    ] = None,
) -> None:
    """Cross-validate: a training for each fold of all images outside the test split."""
    from striate.api.crossvalidation import cross_validate
    from striate.terminal import Terminal

    with study():
        found = cross_validate(
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
            leaks=leaks(allow_leaks, drop_leaks),
            groups=groups,
            assignments=tuple(set_ or ()),
        )
    tell(found)


def search(
    data: Annotated[str, typer.Argument(help="As in train.")],
    trials: Annotated[
        int, typer.Option("--trials", "-t", metavar="N", help="How many, those given up included.")
    ] = 20,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            "-m",
            help="Of the whole search, over all its processes; each trial has an equal part. "
            "Without it a trial is as long as train would make it.",
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            "-s",
            metavar="KEY=VALUES|FILE",
            help="What is searched, in place of the usual: optimiser.lr=1e-3..1e-1:log, "
            "width=x0.5..x2 (multiples of the plan), optimiser=sgd,adamw; a .toml or .json file; "
            "the word defaults keeps the usual beside it. May be repeated.",
        ),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Of each trial.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of each trial.")] = None,
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="Search the settings of this one only.")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="As in train.")
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune/--no-prune", help="Give up trials that do worse than the median."),
    ] = True,
    seed: Annotated[
        int | None, typer.Option(help="Of what is tried, and of each training.")
    ] = None,
    allow_leaks: AllowLeaks = False,
    drop_leaks: DropLeaks = False,
    groups: Annotated[str | None, typer.Option(metavar="PATTERN", help="As in train.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the search.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting; it is not searched then."),
    ] = None,
) -> None:
    """Search for settings: network, width, rate and more; the test split stays sealed.

    Give the same command in another terminal, and both work on one search; give it again after a
    stop, and it goes on.
    """
    started = time.monotonic() - time.thread_time()
    from striate.api.search import search as find
    from striate.terminal import Terminal

    with study():
        found = find(
            data,
            trials=trials,
            minutes=minutes,
            space=tuple(space or ()),
            prune=prune,
            out=out,
            reporter=Terminal(),
            started=started,
            network=network,
            pretrained=pretrained,
            epochs=epochs,
            steps=steps,
            seed=seed,
            leaks=leaks(allow_leaks, drop_leaks),
            groups=groups,
            assignments=tuple(set_ or ()),
        )
    tell(found)


@contextmanager
def study() -> Iterator[None]:
    """Ctrl-C between two trainings ends a study as well as one within them does."""
    try:
        yield
    except KeyboardInterrupt:
        _stopped("Finished runs are kept.", signal.SIGINT)


def tell(found: "CrossValidation | SeedStudy | Search") -> None:
    """A study's result; the exit code of the signal for a stopped one."""
    if found.stopped_by is not None:
        kept = "finished runs, and the one under way up to this step"
        _stopped(f"Kept in {found.path}: {kept}.", found.stopped_by)
    for line in found.lines():
        typer.echo(line)
    typer.echo(f"Page: {found.page}")


def _stopped(kept: str, number: int) -> NoReturn:
    name = signal.Signals(number).name
    words = shlex.join(["striate", *sys.argv[1:]])
    typer.echo(f"Stopped by {name}. {kept} Go on with the same command: {words}")
    raise typer.Exit(128 + number)
