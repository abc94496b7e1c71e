"""Reference pages that are written from the package itself: all commands, all public names."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_command

from striate.cli import app

HEAD = """# Commands

Every command with its arguments and options, as `striate COMMAND --help` shows them.
"""
MODULES = {
    "striate": "What the command line calls; see [the tutorial](../../tutorials/python.md).",
    "striate.data": "See [splits, decoding, cache](../../explanation/data.md).",
    "striate.networks": "See [networks](../networks.md) for sizes, costs and published weights.",
    "striate.layers": "See [layers](../layers.md) for examples.",
    "striate.losses": "See [losses](../losses.md) for examples.",
    "striate.optim": "See [optimisers, schedules, averages](../optimisers.md) for examples.",
    "striate.calculus": "See [check and draw gradients](../../how-to/gradients.md) for examples.",
    "striate.evaluation": "See [metrics](../metrics.md) for definitions and intervals.",
    "striate.seeing": "See [what a network has learned](../../how-to/see.md) for examples.",
    "striate.estimators": "See [scikit-learn's tools](../../how-to/estimators.md) for examples.",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    text = "\n".join([HEAD, *_lines(get_command(app), "striate")])
    files.append(File.generated(config, "reference/commands.md", content=text))
    for name, where in MODULES.items():
        address = f"reference/python/{name.rpartition('.')[2]}.md"
        files.append(File.generated(config, address, content=_module_page(name, where)))
    return files


def _module_page(name: str, where: str) -> str:
    """The public classes and functions of a package, one after the other."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [public for public in vars(module) if public[0] != "_"])
    shown = []
    for value in (getattr(module, public) for public in names):
        known = inspect.isclass(value) or inspect.isroutine(value)
        if known and value.__module__.startswith("striate."):
            shown.append(f"::: {value.__module__}.{value.__qualname__}")
    return "\n\n".join([f"# {name}", where, *dict.fromkeys(shown)])


def _lines(command: Any, name: str) -> Iterator[str]:
    """Commands by panel, in the order in which the help shows them."""
    panels: dict[str, list[tuple[str, Any]]] = {}
    for below, child in command.commands.items():
        panels.setdefault(str(child.rich_help_panel), []).append((f"{name} {below}", child))
    for panel, children in panels.items():
        yield f"## {panel}\n"
        for below, child in children:
            yield f"### {below}\n\n{_escaped(child.help)}\n"
            yield from _table(child)
            for lower, grandchild in getattr(child, "commands", {}).items():
                yield f"#### {below} {lower}\n\n{_escaped(grandchild.help)}\n"
                yield from _table(grandchild)


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("|", "\\|")


def _table(command: Any) -> Iterator[str]:
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        yield "| | meaning | default |\n|---|---|---|"
        yield from rows
        yield ""


def _row(parameter: Any) -> str | None:
    if parameter.name == "help":
        return None
    names = [*parameter.opts, *parameter.secondary_opts]
    if parameter.param_type_name == "argument":
        names = [parameter.name.upper()]
    default = parameter.default
    shown = "" if callable(default) or default in (None, False, ()) else f"`{default}`"
    if default is True:
        shown = f"`{parameter.opts[0]}`"
    if getattr(parameter, "required", False):
        shown = "required"
    help_text = _escaped(" ".join((parameter.help or "").split()))
    return f"| {'<br>'.join(f'`{name}`' for name in names)} | {help_text} | {shown} |"
