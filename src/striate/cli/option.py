"""Options that several commands share."""

import io
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def writable_file(path: Path | None) -> Path | None:
    """Refuse a file for results that cannot be written, before the command does anything.

    Raises:
        StorageError: a folder lies there, or the folder of the file cannot be written.
    """
    if path is not None:
        from striate import durable

        durable.require_writable(path)
    return path


MovedData = Annotated[
    str | None, typer.Option("--data", help="Folder of the images, if they moved.")
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="File for the figures as JSON.", callback=writable_file
    ),
]
PrintJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NetworkName = Annotated[
    str | None,
    typer.Option("--network", "-n", help="Name of a network; see: striate list networks."),
]


_MINUTES = {"h": 60.0, "min": 1.0, "m": 1.0, "s": 1 / 60, "": 1.0}


def print_utf8() -> None:
    """Print what a program reads, CSV or JSON, as UTF-8, whatever the terminal's encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def set_option(help_text: str) -> Any:
    """The repeatable option --set KEY=VALUE."""
    return typer.Option("--set", metavar="KEY=VALUE", help=help_text)


def minutes_option(help_text: str) -> Any:
    """The option --minutes TIME."""
    return typer.Option("--minutes", "-m", metavar="TIME", parser=parse_minutes, help=help_text)


def parse_minutes(text: str) -> float:
    """Minutes from a number of them, or from a number with a unit: h, min, m or s.

    Example:
        >>> parse_minutes("10"), parse_minutes("90s"), parse_minutes("1.5h")
        (10.0, 1.5, 90.0)

    Raises:
        BadParameter: other text.
    """
    number, unit = re.fullmatch(r"(.*?)\s*(h|min|m|s|)", text.strip().lower(), re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        return float(number) * _MINUTES[unit]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; accepted: minutes (10, 0.5), or a number with a unit (10m, 90s, "
            "1.5h)."
        ) from None


def say(text: str, *, err: bool = False) -> None:
    """Print text for a person, with control characters in names escaped."""
    from striate.api.images import visible

    typer.echo(visible(text), err=err)


def parse_sizes(text: str, option: str, form: str, most: int = 9) -> tuple[int, ...]:
    """Numbers above zero between commas or crosses.

    Raises:
        ConfigError: other text, or more than `most` numbers.
    """
    parts = text.lower().replace("×", "x").replace(",", "x").split("x")
    if len(parts) > most or not all(part.isdecimal() and int(part) > 0 for part in parts):
        from striate.errors import ConfigError

        raise ConfigError(f"{option} {text} is no {form}.")
    return tuple(map(int, parts))


def write_figures(path: Path | None, value: Any) -> None:
    """Write JSON values to the file of `JsonFile`, if one was named."""
    if path is not None:
        from striate import durable

        durable.write_json(path, value)
