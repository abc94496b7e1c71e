"""striate train, striate resume."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.option import MovedData
from striate.cli.request import with_request

if TYPE_CHECKING:
    from striate.api import Run


@with_request
def train(
    *,
    request: dict[str, Any],
    seeds: Annotated[
        int | None,
        typer.Option(metavar="K", help="Train K seeds and report how much they differ."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; it must be free.")
    ] = None,
) -> None:
    """Train a network on images and say how good it is."""
    started = time.monotonic() - time.thread_time()
    from striate import api
    from striate.terminal import Terminal

    if seeds is None:
        _conclude(api.train(**request, out=out, reporter=Terminal(), started=started))
        return
    from striate.api.seeds import train_seeds
    from striate.cli.studies import report_study

    report_study(lambda: train_seeds(num_seeds=seeds, **request, out=out, reporter=Terminal()))


def resume(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    data: MovedData = None,
) -> None:
    """Continue a training that was stopped or killed."""
    started = time.monotonic() - time.thread_time()
    from striate import api
    from striate.terminal import Terminal

    _conclude(api.resume(run, data=data, reporter=Terminal(), started=started))


def _conclude(run: "Run") -> None:
    """The headline of a finished run; the exit code of the signal for a stopped one."""
    if run.stopped_by is not None:
        raise typer.Exit(128 + run.stopped_by)
    typer.echo(f"Validation {run.validation.sentence()}")
    typer.echo(f"Report: {run.report_path}")
    openings = run.test_openings
    sealed = "still sealed" if openings == 0 else f"opened {openings} time(s) so far"
    typer.echo(f"Test split {sealed}; open it with: striate evaluate {run.path}")
