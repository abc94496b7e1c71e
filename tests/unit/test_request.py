"""A request holds what a person asks for, and the options of the command line match its fields."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate.api.request import Request
from striate.cli import app
from striate.cli.option import parse_minutes
from striate.cli.request import RequestOptions, request_keywords


def test_every_field_but_settings_has_an_option():
    """`settings` is what --set says in Python."""
    keywords = request_keywords(
        **dict.fromkeys(RequestOptions.__annotations__, False) | {"set_": None}
    )
    assert set(keywords) == {f.name for f in fields(Request)} - {"_", "settings"}


def test_what_is_not_set_is_not_recorded():
    """The name of a study's folder follows from these values: a new field changes no old name."""
    assert Request(Path("x/y")).to_json() == {"data": "x/y"}
    request = Request("x", pretrained=Path("w"), freeze=0.0, assignments=("a=1",))
    assert request.to_json() == {
        "data": "x",
        "pretrained": "w",
        "freeze": 0.0,
        "assignments": ["a=1"],
    }


def test_assignments_win_over_settings():
    request = Request("x", settings={"a": {"b": 1, "c": 2}}, assignments=("a.b=3",))
    assert request.assigned == {"a": {"b": 3, "c": 2}}


def test_a_folder_of_the_name_of_a_recipe_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Request("mnist_lenet").is_recipe
    (tmp_path / "mnist_lenet").mkdir()
    assert not Request("mnist_lenet").is_recipe


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("10", 10), ("0.5", 0.5), ("10m", 10), ("10 min", 10), ("90s", 1.5), ("1.5H", 90), ("-1", -1)],
)
def test_a_time_may_have_a_unit(text, minutes):
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "m", "ten", "10x", "5 m s", "1\n0"])
def test_what_is_no_time_is_refused(text):
    found = CliRunner().invoke(app, ["train", "digits", "--minutes", text])
    assert found.exit_code == 2
    assert "is no time; accepted" in re.sub(r"\W*\n\W*", " ", found.output)


@pytest.mark.parametrize("command", ["train", "cv", "search"])
def test_commands_that_train_share_their_options(command):
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    assert "--freeze" in text
    assert "Random seed." in text
