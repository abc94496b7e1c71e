"""striate evaluate, striate predict."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.option import JsonFile, print_utf8, say, write_figures

if TYPE_CHECKING:
    from striate.api import Prediction


def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs; several of one test split are one opening."),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            "--pretrained",
            metavar="NAME|FILE",
            help="Measure published weights instead of a run: resnet20-cifar10, a file, ...",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Data to measure published weights on; for a run, the images' folder if it moved.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", "-n", help="Name of the network whose weights a file holds."),
    ] = None,
    json_: JsonFile = None,
) -> None:
    """Open the sealed test split, write the ledger and say how good a run is."""
    from striate.errors import ConfigError

    if pretrained is None:
        if not runs or network is not None:
            raise ConfigError(
                "Give a run (striate evaluate RUN), or published weights and data "
                "(striate evaluate --pretrained NAME --data PATH)."
            )
        _evaluate_runs(runs, data, json_)
        return
    if runs or data is None:
        raise ConfigError(
            "Published weights are measured on data, without a run: "
            "striate evaluate --pretrained NAME --data PATH"
        )
    _evaluate_pretrained(pretrained, data, network, json_)


def _evaluate_runs(runs: list[Path], data: str | None, json_file: Path | None) -> None:
    from striate import api
    from striate.terminal import Terminal

    terminal = Terminal()
    evaluations = api.evaluate_runs(runs, data=data, reporter=terminal)
    for evaluation in evaluations:
        if len(evaluations) > 1:
            terminal.say(f"{evaluation.run.path}:")
        terminal.say("\n".join(evaluation.metrics.lines()))
        if evaluation.reading is not None and evaluation.reading.openings > 1:
            terminal.say(evaluation.reading.sentence)
    last = evaluations[-1]
    terminal.say(f"This was opening {last.opening} of this test split.")
    for note in last.notes:
        terminal.say(note)
    for finding in last.findings:
        terminal.say(f"The ledger was altered: {finding}")
    values = []
    for evaluation in evaluations:
        terminal.say(f"Report: {evaluation.report}")
        opening, figures = evaluation.opening, evaluation.metrics.to_json()
        values.append({"run": str(evaluation.run.path), "opening": opening, "measures": figures})
    write_figures(json_file, values[0] if len(values) == 1 else {"runs": values})


def _evaluate_pretrained(
    pretrained: str, data: str, network: str | None, json_file: Path | None
) -> None:
    from striate.api.pretrained import evaluate_pretrained
    from striate.terminal import Terminal

    terminal = Terminal()
    evaluation = evaluate_pretrained(pretrained, data, network=network, reporter=terminal)
    terminal.say("\n".join([*evaluation.metrics.lines(), *evaluation.notes()]))
    write_figures(json_file, evaluation.to_json())


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders of images, .npz files of arrays, or - for an image on standard "
            "input."
        ),
    ],
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="ERROR",
            help="Predict only where at most this share of the predictions is wrong: 0.05.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write predictions.json, and each prediction as a file where its task has "
            "such. Nothing is overwritten.",
        ),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="With --out: draw each prediction on its image.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    safe: Annotated[
        bool,
        typer.Option(
            "--safe/--raw",
            help="With --csv: names that a spreadsheet would compute begin with ', and control "
            "characters are escaped; measure reads both.",
        ),
    ] = True,
) -> None:
    """Predict what is in images."""
    from striate import api
    from striate.api.images import json_text
    from striate.errors import ConfigError

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; choose one.")
    loaded = api.load(run)
    notes = loaded.notes  # read before anything is written
    predictions = loaded.predict(images, abstain=abstain, out=out, overlays=overlay)
    for note in notes:
        say(note, err=True)
    if as_json or as_csv:
        print_utf8()
    if as_json:
        for prediction in predictions:
            typer.echo(json_text(prediction.to_json()))
    elif as_csv:
        _print_csv(predictions, loaded.task.columns(predictions, loaded.shape), safe)
    else:
        _print_text(predictions)
    if abstain is not None:
        kept = loaded.abstention(abstain)
        unsure = sum(getattr(p, "abstained", False) for p in predictions)
        shown = "proved" if loaded.abstention_is_proved else "estimated by cross-fitting"
        typer.echo(
            f"{unsure} of {len(predictions)} have no label: confidence below {kept.threshold:.4f}. "
            f"With 95 % certainty at most {100 * abstain:g} % of the predictions for images from "
            f"the same source are wrong ({shown} on {kept.n:,} validation images, of which "
            f"{kept.coverage:.1%} have a label).",
            err=True,
        )
    if any(p.problem is not None for p in predictions):
        raise typer.Exit(1)


def _print_csv(predictions: list["Prediction"], columns: tuple[str, ...], safe: bool) -> None:
    import csv

    from striate.api.images import safe_cell

    def row(cells: Iterable[Any]) -> list[Any]:
        return [safe_cell(c) if safe and isinstance(c, str) else c for c in cells]

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(row(["name", *columns, "problem"]))
    for prediction in predictions:
        cells = prediction.cells()
        values = [cells.get(column, "") for column in columns]
        writer.writerow(row([prediction.name, *values, prediction.problem or ""]))


def _print_text(predictions: list["Prediction"]) -> None:
    from striate.api.images import shown

    width = max(len(shown(prediction.name)) for prediction in predictions)
    for prediction in predictions:
        name = f"{shown(prediction.name):<{width}}"
        if prediction.problem is not None:
            say(f"{name}  not read: {prediction.problem}", err=True)
            continue
        say(f"{name}  {prediction.text()}")
