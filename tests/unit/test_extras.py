"""What lies in an extra is asked for by the command that installs it."""

import runpy
import sys
import tomllib
from pathlib import Path

import pytest

import striate
from striate.drawing.figure import new_figure
from striate.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


def test_a_picture_without_matplotlib_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'striate\[pictures\]'"):
        new_figure(4, 3)
    assert any(line.startswith("matplotlib") for line in EXTRAS["pictures"])


def test_a_search_without_optuna_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'striate\[search\]'"):
        runpy.run_path(str(Path(striate.__path__[0]) / "search" / "__init__.py"))
    assert any(line.startswith("optuna") for line in EXTRAS["search"])
