"""striate compare, striate calibrate, striate ledger, striate measure."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from striate.api.ledger import LedgerView

__all__ = ["calibrate", "compare", "ledger", "measure"]

_LONG_NAME = 120

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="File for the figures as JSON.")
]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of two runs or more.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Folder of the images, if they moved.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the page; runs/compare-... .")
    ] = None,
    json_: Json = None,
) -> None:
    """Say whether runs differ, on the same images, with paired tests."""
    from striate.api.compare import compare_runs
    from striate.terminal import Terminal

    terminal = Terminal()
    found = compare_runs(list(runs), data=data, reporter=terminal)
    for note in found.notes:
        terminal.say(note)
    for line in found.lines():
        terminal.say(line)
    _write(json_, found.to_json())
    folder = out or Path("runs") / _folder_name(found.names)
    terminal.say(f"Page: {found.write(folder)}")


def _folder_name(names: Sequence[str]) -> str:
    """Name a comparison's folder by its runs, or by a digest where they are long or paths."""
    joined = "-".join(names)
    if len(joined.encode()) > _LONG_NAME or any(sign in joined for sign in "/\\"):
        whole = "\0".join(names).encode("utf-8", "surrogateescape")
        joined = hashlib.sha256(whole).hexdigest()[:12]
    return f"compare-{joined}"


def calibrate(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    classwise: Annotated[
        bool, typer.Option("--classwise", help="Fit a weight and a bias for each class.")
    ] = False,
    json_: Json = None,
) -> None:
    """Fit a run's calibration anew on its validation predictions."""
    from striate.api.calibration import calibrate as fit
    from striate.evaluation import percent

    told = fit(run, classwise=classwise)
    if told["temperature"] is not None:
        typer.echo(f"temperature {told['temperature']:.3g}, fitted on {told['n']:,} images")
    else:
        typer.echo(f"{told['method']}, fitted on {told['n']:,} images")
    for when in ("before", "after"):
        error = told[when]["calibration_error"]
        loss = told[when]["negative_log_likelihood"]
        ends = f"[{percent(error['low'])}, {percent(error['high'])}]"
        typer.echo(
            f"{when}: calibration error {percent(error['value'])} % {ends}, "
            f"negative log-likelihood {loss['value']:.4f}"
        )
    if told["note"]:
        typer.echo(told["note"])
    typer.echo("After: each fifth of the validation images by a fit on the other four.")
    _write(json_, told)


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
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Setting that names the split, as for train: data.test_fraction=0.3 ...",
        ),
    ] = None,
    json_: Json = None,
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
            typer.echo(f"{view.test_digest[:12]}  {_times(view.count)}{end}{alarm}")
        if not views:
            typer.echo("No test split was opened on this machine so far.")
        _write(json_, {"ledgers": [view.to_json() for view in views]})
        return
    view = read(
        data,
        split_seed=split_seed,
        groups=groups,
        assignments=tuple(set_ or ()),
        reporter=Terminal(),
    )
    _tell_ledger(view)
    _write(json_, view.to_json())


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
        Path | None, typer.Option("--out", "-o", metavar="PAGE.html", help="File for a page.")
    ] = None,
    json_: Json = None,
) -> None:
    """Measure predictions that any system made: intervals, comparison, calibration."""
    from striate.evaluation import percent, summary_lines
    from striate.evaluation.classification.external import measure_files

    extra = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    found = measure_files(list(predictions), truth, extra_classes=extra)
    for note in found.notes:
        typer.echo(note)
    if found.comparison is None:
        for line in summary_lines(found.measures[0]):
            typer.echo(line)
    else:
        for line in found.lines():
            typer.echo(line)
    for name, told in zip(found.names, found.calibrations, strict=True):
        if told is None:
            continue
        before, after = (told[when]["calibration_error"]["value"] for when in ("before", "after"))
        typer.echo(
            f"{name}: a temperature of {told['temperature']:.3g} would change the calibration "
            f"error from {percent(before)} to {percent(after)} % (on folds it was not fitted on)"
        )
    if page is not None:
        found.write(page)
        typer.echo(f"Page: {page}")
    _write(json_, found.to_json())


def _tell_ledger(view: "LedgerView") -> None:
    typer.echo(f"{view.title}: test split {view.test_digest[:12]}, {_times(view.count)}")
    for record in view.records:
        shown = _headline(record.result or {})
        typer.echo(f"{record.number:>4}  {record.time[:16]}  {shown:<16}  {record.folder}")
    for finding in view.findings:
        typer.echo(f"The ledger was altered: {finding}")
    for notice in view.notices:
        typer.echo(notice)
    if view.reading is not None:
        typer.echo(view.reading.sentence)


def _headline(result: Mapping[str, Any]) -> str:
    """The headline of an opening's result: a share of wrong items in percent."""
    from striate.evaluation import percent

    numbers = ("n", "wrong", "low", "high", "runs")
    name = next((key for key in result if key not in numbers), None)
    if name is None:
        return "no result"
    value = result[name]
    spelled = "-" if value is None else f"{value:.4g}"
    return f"{name} {f'{percent(value)} %' if 'wrong' in result else spelled}"


def _times(count: int) -> str:
    return "never opened" if count == 0 else f"opened {count} time{'s' if count > 1 else ''}"


def _write(path: Path | None, value: dict[str, Any]) -> None:
    if path is not None:
        from striate import durable

        durable.write_json(path, value)
