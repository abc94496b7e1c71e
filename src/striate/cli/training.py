"""striate train, striate resume, striate cv, striate search."""

import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from striate.cli.option import MovedData, minutes_option, say
from striate.cli.request import with_request

if TYPE_CHECKING:
    from striate.api import Run
    from striate.api.crossvalidation import CrossValidation
    from striate.api.search_result import Search
    from striate.api.seeds import SeedStudy


_FEW = 50
"""Validation images below which their interval is too wide to decide by."""


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

    _report_study(lambda: train_seeds(num_seeds=seeds, **request, out=out, reporter=Terminal()))


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
    figures = run.validation
    say("\n".join([f"Validation {figures.sentence()}", *figures.notes()]))
    few = run.record["data"]["counts"]["validation"]
    if few < _FEW and run.config.data.validation == "apart":
        from striate.errors import command_line

        source = run.config.data.source
        say(
            f"{few} validation images say little. {command_line('cv', source)} measures each image "
            "outside the test split."
        )
    say(f"Report: {run.report_path}")
    say(_about_test_split(run))


def _about_test_split(run: "Run") -> str:
    """A sentence on how often the test split was opened, and how to open or read it."""
    from striate.errors import command_line

    evaluate, count = command_line("evaluate", run.path), run.test_openings
    if count == 0:
        return f"Test split still sealed; open it with: {evaluate}"
    times = "once" if count == 1 else f"{count} times"
    return (
        f"The test split was opened {times}; each further opening makes its results less certain. "
        f"See {command_line('ledger', run.path)}, or open it again: {evaluate}"
    )


@with_request
def cv(
    *,
    folds: Annotated[int, typer.Option("--folds", "-k", help="Number of folds.")] = 5,
    repeat: Annotated[int, typer.Option(help="Number of times that images are divided.")] = 1,
    request: dict[str, Any],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the study.")] = None,
) -> None:
    """Cross-validate: a training for each fold of all images outside the test split."""
    from striate.api.crossvalidation import cross_validate
    from striate.terminal import Terminal

    _report_study(
        lambda: cross_validate(**request, folds=folds, repeats=repeat, out=out, reporter=Terminal())
    )


@with_request
def search(
    *,
    trials: Annotated[
        int,
        typer.Option("--trials", "-t", metavar="N", help="Number of trials, pruned ones included."),
    ] = 20,
    minutes: Annotated[
        float | None,
        minutes_option(
            "Time for the whole search, over all its processes; each trial has an equal part. "
            "Without it a trial is as long as train would make it."
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            "-s",
            metavar="KEY=VALUES|FILE",
            help="Settings to search, instead of the usual: optimiser.lr=1e-3..1e-1:log, "
            "width=x0.5..x2 (multiples of the plan), optimiser=sgd,adamw; a .toml or .json file; "
            "the word defaults keeps the usual beside it. May be repeated.",
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune/--no-prune", help="Stop trials that do worse than the median."),
    ] = True,
    request: dict[str, Any],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the search.")] = None,
) -> None:
    """Search for settings: network, width, rate and more; the test split stays sealed.

    Give the same command in another terminal, and both work on one search; give it again after a
    stop, and it continues.
    """
    started = time.monotonic() - time.thread_time()
    from striate.api.search import search as run_search
    from striate.terminal import Terminal

    _report_study(
        lambda: run_search(
            **request,
            trials=trials,
            minutes=minutes,
            space=tuple(space or ()),
            prune=prune,
            out=out,
            reporter=Terminal(),
            started=started,
        )
    )


def _report_study(run: Callable[[], "CrossValidation | SeedStudy | Search"]) -> None:
    """Run a study and print its result; a stopped one ends with the exit code of its signal."""
    try:
        result = run()
    except KeyboardInterrupt:  # between two trainings; within one, its trainer handles the signal
        _exit_stopped("Finished runs are kept.", signal.SIGINT)
    if result.stopped_by is not None:
        kept = "finished runs, and the one under way up to this step"
        _exit_stopped(f"Kept in {result.path}: {kept}.", result.stopped_by)
    say("\n".join([*result.lines(), f"Page: {result.page}"]))


def _exit_stopped(kept: str, number: int) -> NoReturn:
    name = signal.Signals(number).name
    words = shlex.join(["striate", *sys.argv[1:]])
    say(f"Stopped by {name}. {kept} Continue with the same command: {words}")
    raise typer.Exit(128 + number)
