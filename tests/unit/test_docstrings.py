"""Docstrings and help texts: examples print what they say, first lines can be read alone."""

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import striate
from striate.cli import app

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(striate.__path__, "striate.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


CLIPPED = re.compile(r"(Of|As in|Where|What|The same)\b")


@pytest.mark.parametrize("name", ["striate", *MODULES])
def test_first_lines_can_be_read_alone(name):
    """The first line of a docstring names the thing, so that a stranger needs no line above it."""
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text("utf-8"))
    assert not list(clipped(tree, name))


def clipped(tree: ast.AST, name: str) -> Iterator[str]:
    """The public objects below `tree` whose docstring starts with a clipped phrase."""
    if CLIPPED.match(ast.get_docstring(tree) or ""):
        yield f"{name}: {ast.get_docstring(tree)}"
    for node in ast.iter_child_nodes(tree):
        documented = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and not (node.name.startswith("_") and not node.name.endswith("__")):
            yield from clipped(node, f"{name}.{node.name}")


def test_the_check_finds_clipped_lines():
    tree = ast.parse('"""Sum."""\nclass A:\n    """A."""\n    def f(self):\n        """Of A."""')
    assert list(clipped(tree, "m")) == ["m.A.f: Of A."]


def test_help_texts_can_be_read_alone():
    """The help of each command, argument and option begins with what it is about."""
    helps = dict(help_texts(get_command(app), "striate"))
    assert len(helps) > 100
    assert not {name: text for name, text in helps.items() if CLIPPED.match(text)}
    assert not [name for name, text in helps.items() if not text]


def help_texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """Name and help of a command, of its parameters, and of the commands below it."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for below, child in getattr(command, "commands", {}).items():
        yield from help_texts(child, f"{name} {below}")
