"""striate compare, striate calibrate, striate ledger, striate measure."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.option import (
    JsonFile,
    MovedData,
    say,
    set_option,
    writable_file,
    write_figures,
)

_LONG_NAME = 120


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of two runs or more.")],
    data: MovedData = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the page; runs/compare-... .")
    ] = None,
    json_: JsonFile = None,
) -> None:
    """Say whether runs differ, on the same images, with paired tests."""
    from striate import durable
    from striate.api.compare import compare_runs
    from striate.terminal import Terminal

    durable.require_writable(out or Path("runs"), folder=True)
    terminal = Terminal()
    comparison = compare_runs(list(runs), data=data, reporter=terminal)
    terminal.say("\n".join([*comparison.notes, *comparison.lines()]))
    write_figures(json_, comparison.to_json())
    folder = out or Path("runs") / _folder_name(comparison.names)
    terminal.say(f"Page: {comparison.write(folder)}")


def _folder_name(names: Sequence[str]) -> str:
    """Name a comparison's folder by its runs, or by a digest where they are long or paths."""
    joined = "-".join(names)
    if len(joined.encode()) > _LONG_NAME or any(sign in joined for sign in "/\\"):
        content = "\0".join(names).encode("utf-8", "surrogateescape")
        joined = hashlib.sha256(content).hexdigest()[:12]
    return f"compare-{joined}"


def calibrate(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    classwise: Annotated[
        bool, typer.Option("--classwise", help="Fit a weight and a bias for each class.")
    ] = False,
    json_: JsonFile = None,
) -> None:
    """Fit a run's calibration anew on its validation predictions."""
    from striate import api
    from striate.api.calibration import calibrate as fit
    from striate.api.calibration import calibration_lines

    loaded = api.load(run)
    for note in loaded.notes:
        say(note, err=True)
    calibration = fit(loaded, classwise=classwise)
    say("\n".join(calibration_lines(calibration)))
    write_figures(json_, calibration)


def ledger(
    data: Annotated[
        str | None, typer.Argument(help="Data as for train, or a run; by default all ledgers.")
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option(
            "--split-seed", help="Random seed of the split, for data that name no test split."
        ),
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Pattern of groups, as for train.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        set_option("Setting that names the split, as for train: data.test_fraction=0.3 ..."),
    ] = None,
    json_: JsonFile = None,
) -> None:
    """Show how often a test split was opened, by which runs, and how the latest result reads."""
    from striate.api.ledger import known_ledgers
    from striate.api.ledger import ledger as read
    from striate.terminal import Terminal

    if data is None:
        views = known_ledgers()
        for view in views:
            last = view.records[-1] if view.records else None
            end = f"; last {last.time[:16]} by {last.folder}" if last else ""
            alarm = "; ALTERED" if view.findings else ""
            say(f"{view.test_digest[:12]}  {view.times}{end}{alarm}")
        if not views:
            say("No test split was opened on this machine so far.")
        write_figures(json_, {"ledgers": [view.to_json() for view in views]})
        return
    view = read(
        data,
        split_seed=split_seed,
        groups=groups,
        assignments=tuple(set_ or ()),
        reporter=Terminal(),
    )
    say("\n".join(view.lines()))
    write_figures(json_, view.to_json())


def measure(
    predictions: Annotated[
        list[Path],
        typer.Option("--predictions", "-p", metavar="FILE", help="CSV, JSON or NPZ; repeatable."),
    ],
    truth: Annotated[
        Path, typer.Option("--truth", "-t", metavar="FILE", help="CSV, JSON or NPZ with labels.")
    ],
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Names of classes without an item in the truth."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PAGE.html", help="File for a page.", callback=writable_file
        ),
    ] = None,
    json_: JsonFile = None,
) -> None:
    """Measure predictions that any system made: intervals, comparison, calibration."""
    from striate.api.external import measure_files

    extra = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    metrics = measure_files(list(predictions), truth, extra_classes=extra)
    say("\n".join([*metrics.notes, *metrics.lines()]))
    if page is not None:
        metrics.write(page)
        say(f"Page: {page}")
    write_figures(json_, metrics.to_json())
