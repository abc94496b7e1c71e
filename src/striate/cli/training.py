"""striate train, striate resume."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.leak import AllowLeaks, DropLeaks, leaks

if TYPE_CHECKING:
    from striate.api import Run

__all__ = ["resume", "train"]


def train(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder or archive of images in class folders, a list, or a name: "
            "digits, mnist, fashion-mnist, cifar10, cifar100."
        ),
    ],
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="Its name; see: striate list networks.")
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            "--pretrained", metavar="NAME|FILE", help="Start from published weights: resnet18 ..."
        ),
    ] = None,
    freeze: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the training in which only the new last layer learns; 0.3 by default, "
            "0: all layers at once, 1: never the others.",
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Stop after so many passes over the images.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many batches.")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", "-m", help="End, all included, in this time.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is left to chance.")] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="K", help="Train K seeds; tell their spread from chance.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; it must be free.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse data with broken files.")
    ] = False,
    allow_leaks: AllowLeaks = False,
    drop_leaks: DropLeaks = False,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help='No split divides a group (a patient): "*/GROUP/*" where its folder has its name.',
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting: optimiser.lr=0.1 ..."),
    ] = None,
) -> None:
    """Train a network on images and say how good it is."""
    started = time.monotonic() - time.thread_time()
    from striate import api
    from striate.terminal import Terminal

    how: dict[str, Any] = {
        "network": network,
        "pretrained": pretrained,
        "freeze": freeze,
        "epochs": epochs,
        "steps": steps,
        "minutes": minutes,
        "seed": seed,
        "out": out,
        "strict": strict,
        "leaks": leaks(allow_leaks, drop_leaks),
        "groups": groups,
        "assignments": tuple(set_ or ()),
        "reporter": Terminal(),
    }
    if seeds is None:
        _conclude(api.train(data, **how, started=started))
        return
    from striate.api.seeds import train_seeds
    from striate.cli.studies import study, tell

    with study():
        found = train_seeds(data, seeds, **how)
    tell(found)


def resume(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Where its images lie now, if they were moved.")
    ] = None,
) -> None:
    """Go on with a training that was stopped or killed."""
    started = time.monotonic() - time.thread_time()
    from striate import api
    from striate.terminal import Terminal

    _conclude(api.resume(run, data=data, reporter=Terminal(), started=started))


def _conclude(run: "Run") -> None:
    """The headline of a finished run; the exit code of the signal for a stopped one."""
    if run.stopped_by is not None:
        raise typer.Exit(128 + run.stopped_by)
    from striate.evaluation import percent

    error = run.validation.error
    typer.echo(
        f"Validation error {percent(error.value)} % "
        f"[{percent(error.low)}, {percent(error.high)}] (95 % interval, n = {run.validation.n:,})"
    )
    typer.echo(f"Report: {run.report_path}")
    openings = run.test_openings
    sealed = "still sealed" if openings == 0 else f"opened {openings} time(s) so far"
    typer.echo(f"Test split {sealed}; open it with: striate evaluate {run.path}")
