"""striate evaluate, striate predict."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from striate.api import Answer

__all__ = ["evaluate", "predict"]


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="Folder of the run.")] = None,
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
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="File for the metrics as JSON.")
    ] = None,
) -> None:
    """Open the sealed test split, write the ledger and say how good a run is."""
    from striate.errors import ConfigError

    if pretrained is None:
        if run is None or network is not None:
            raise ConfigError(
                "Give a run (striate evaluate RUN), or published weights and data "
                "(striate evaluate --pretrained NAME --data PATH)."
            )
        _evaluate_run(run, data, json_)
        return
    if run is not None or data is None:
        raise ConfigError(
            "Published weights are measured on data, without a run: "
            "striate evaluate --pretrained NAME --data PATH"
        )
    _evaluate_pretrained(pretrained, data, network, json_)


def _evaluate_run(run: Path, data: str | None, json_file: Path | None) -> None:
    from striate import api
    from striate.evaluation import summary_lines
    from striate.terminal import Terminal

    terminal = Terminal()
    evaluation = api.evaluate(run, data=data, reporter=terminal)
    for line in summary_lines(evaluation.measures):
        terminal.say(line)
    terminal.say(f"This was opening {evaluation.opening} of this test split.")
    if evaluation.opening > 1 and evaluation.reading is not None:
        terminal.say(evaluation.reading.sentence)
    for finding in evaluation.findings:
        terminal.say(f"The ledger was altered: {finding}")
    terminal.say(f"Report: {evaluation.report}")
    if json_file is not None:
        _write_json(
            json_file,
            {
                "run": str(run),
                "opening": evaluation.opening,
                "measures": evaluation.measures.to_json(),
            },
        )


def _evaluate_pretrained(
    pretrained: str, data: str, network: str | None, json_file: Path | None
) -> None:
    from striate.api.pretrained import evaluate_pretrained
    from striate.evaluation import summary_lines
    from striate.terminal import Terminal

    terminal = Terminal()
    evaluation = evaluate_pretrained(pretrained, data, network=network, reporter=terminal)
    for line in [*summary_lines(evaluation.measures), *evaluation.notes()]:
        terminal.say(line)
    if json_file is not None:
        _write_json(json_file, evaluation.to_json())


def _write_json(path: Path, value: dict[str, Any]) -> None:
    from striate import durable

    durable.write_json(path, value)


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="ERROR",
            help="Predict only where at most this share of the predictions is wrong: 0.05.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
) -> None:
    """Predict what is in images."""
    from striate import api
    from striate.errors import ConfigError

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; choose one.")
    loaded = api.load(run)
    answers = loaded.predict([str(path) for path in images], abstain=abstain)
    if as_json:
        _print_json(answers)
    elif as_csv:
        _print_csv(answers, loaded.class_names)
    else:
        _print_text(answers)
    if abstain is not None:
        kept = loaded.abstention(abstain)
        unsure = sum(answer.abstained for answer in answers)
        shown = "proved" if loaded.abstention_is_proved else "estimated by cross-fitting"
        typer.echo(
            f"{unsure} of {len(answers)} not answered: confidence below {kept.threshold:.4f}. With "
            f"95 % certainty at most {100 * abstain:g} % of the answers to images from the same "
            f"source are wrong ({shown} on {kept.n:,} validation images, of which "
            f"{kept.coverage:.1%} are answered).",
            err=True,
        )
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
    from striate.data.spelling import shown

    width = max(len(shown(answer.name)) for answer in answers)
    for answer in answers:
        name = f"{shown(answer.name):<{width}}"
        if answer.problem is not None:
            typer.echo(f"{name}  not read: {answer.problem}", err=True)
            continue
        best = list(answer.probabilities.items())[:3]
        likely = "  ".join(f"{shown(label)} {share:.1%}" for label, share in best)
        typer.echo(f"{name}  {'not sure: ' if answer.abstained else ''}{likely}")
