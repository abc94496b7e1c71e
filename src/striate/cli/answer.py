"""striate evaluate, striate predict."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.api import Answer

__all__ = ["evaluate", "predict"]


def evaluate(run: Annotated[Path, typer.Argument(help="Folder of the run.")]) -> None:
    """Open the sealed test split, write the ledger and say how good a run is."""
    from striate import api
    from striate.evaluation import summary_lines
    from striate.terminal import Terminal

    terminal = Terminal()
    evaluation = api.evaluate(run, reporter=terminal)
    for line in summary_lines(evaluation.measures):
        terminal.say(line)
    terminal.say(f"This was opening {evaluation.opening} of this test split.")
    for finding in evaluation.findings:
        terminal.say(f"The ledger was altered: {finding}")
    terminal.say(f"Report: {evaluation.report}")


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Say what is in images."""
    from striate import api
    from striate.errors import ConfigError

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; choose one.")
    loaded = api.load(run)
    answers = loaded.predict([str(path) for path in images])
    if as_json:
        _print_json(answers)
    elif as_csv:
        _print_csv(answers, loaded.class_names)
    else:
        _print_text(answers)
    if any(answer.problem is not None for answer in answers):
        raise typer.Exit(1)


def _print_json(answers: list["Answer"]) -> None:
    import json

    for answer in answers:
        typer.echo(json.dumps(answer.to_json(), ensure_ascii=False))


def _print_csv(answers: list["Answer"], class_names: tuple[str, ...]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "label", "confidence", *class_names, "problem"])
    for answer in answers:
        shares = [answer.probabilities.get(name, "") for name in class_names]
        writer.writerow(
            [
                answer.name,
                answer.label or "",
                answer.confidence or "",
                *shares,
                answer.problem or "",
            ]
        )


def _print_text(answers: list["Answer"]) -> None:
    width = max(len(answer.name) for answer in answers)
    for answer in answers:
        if answer.problem is not None:
            typer.echo(f"{answer.name:<{width}}  not read: {answer.problem}", err=True)
            continue
        best = list(answer.probabilities.items())[:3]
        shown = "  ".join(f"{name} {share:.1%}" for name, share in best)
        typer.echo(f"{answer.name:<{width}}  {shown}")
