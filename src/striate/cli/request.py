"""The arguments and options of every command that trains, written once."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from striate.cli.option import NetworkName, minutes_option, set_option


class RequestOptions:
    """The fields of a request as the command line has them."""

    data: Annotated[
        str,
        typer.Argument(
            help="A folder or archive of images in class folders, a list, or a name: "
            "digits, mnist, fashion-mnist, cifar10, cifar100."
        ),
    ]
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Task: a name of striate list tasks, or my_task.py."
        ),
    ] = None
    network: NetworkName = None
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|RUN|none",
            help="Start from published weights (efficientnet_lite0 ...), those of a run, or from "
            "nothing. By default both are tried where weights are here: striate list weights.",
        ),
    ] = None
    freeze: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the training in which only the new last layer learns; 0: all layers at "
            "once, 1: never the others. By default what the time allows.",
        ),
    ] = None
    epochs: Annotated[
        float | None, typer.Option(help="Stop after so many passes over the images.")
    ] = None
    steps: Annotated[int | None, typer.Option(help="Stop after so many batches.")] = None
    minutes: Annotated[
        float | None,
        minutes_option("End each training, all included, in this time: 10, 10m, 90s, 1.5h."),
    ] = None
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None
    strict: Annotated[bool, typer.Option("--strict", help="Refuse data with broken files.")] = False
    allow_leaks: Annotated[
        bool,
        typer.Option("--allow-leaks", help="Accept near-duplicates of test images in training."),
    ] = False
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave near-duplicates of test images out.")
    ] = False
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Take N images of all classes, for a quick try; a declared test "
            "split stays whole.",
        ),
    ] = None
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help='No split divides a group (a patient): "*/GROUP/*" where its folder has its name.',
        ),
    ] = None
    target_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help='Names of files say what is learned: "*_{age}_*.jpg", "{label}-*.png".',
        ),
    ] = None
    set_: Annotated[list[str] | None, set_option("Any setting: optimiser.lr=0.1 ...")] = None


def request_keywords(
    *, allow_leaks: bool, drop_leaks: bool, set_: list[str] | None, **options: Any
) -> dict[str, Any]:
    """Keywords of `striate.train` from the options of the command line."""
    if allow_leaks and drop_leaks:
        raise typer.BadParameter("--allow-leaks and --drop-leaks exclude each other.")
    leaks = "allow" if allow_leaks else "drop" if drop_leaks else None
    return {**options, "leaks": leaks, "assignments": tuple(set_ or ())}


def with_request(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `request` of a command by all options of `RequestOptions`.

    A parameter of the command keeps its own meaning where `RequestOptions` has one of that name.
    """
    own = inspect.signature(command).parameters
    common = {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(RequestOptions, name, inspect.Parameter.empty),
            annotation=annotation,
        )
        for name, annotation in RequestOptions.__annotations__.items()
        if name not in own
    }
    merged: list[inspect.Parameter] = []
    for name, parameter in own.items():
        merged += common.values() if name == "request" else [parameter]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        command(request=request_keywords(**{name: values.pop(name) for name in common}), **values)

    call.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]
    return call
