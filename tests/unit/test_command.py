"""Hints can be typed as they stand, and the end of a training says what is true."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from striate.cli.option import say
from striate.cli.training import _about_test_split
from striate.errors import command_line
from striate.run_folder import RunFolder
from striate.terminal import Terminal
from striate.training.planner import Decision


@pytest.mark.parametrize("path", ["runs/a", "my runs/first & last", "it's", "$HOME/*", ""])
def test_hints_are_quoted_for_the_shell(path):
    assert shlex.split(command_line("resume", Path(path) if path else path)) == [
        "striate",
        "resume",
        path,
    ]


def test_errors_name_commands_that_can_be_typed(tmp_path):
    folder = RunFolder(tmp_path / "my run")
    with pytest.raises(Exception, match=r"striate resume '.*my run'"):
        folder.require(folder.weights)


@pytest.mark.parametrize(
    ("openings", "words"),
    [
        (0, "still sealed; open it with: striate evaluate 'my run'"),
        (1, "was opened once; each further opening makes its results less certain"),
        (7, "was opened 7 times; each further"),
    ],
)
def test_the_end_of_a_training_says_how_often_the_test_split_was_opened(openings, words):
    run = SimpleNamespace(path=Path("my run"), test_openings=openings)
    assert words in _about_test_split(run)


def test_names_move_no_cursor(capsys):
    console = Console(width=200, highlight=False)
    terminal = Terminal(console)
    terminal.say("a\x1b[2Jb\u202ec\nd")
    terminal.choices([Decision("classes", "\x1b]0;x\x07", "\u202e")])
    say("e\x9b1m\nf")
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert "a\\x1b[2Jb\\u202ec\nd" in text
    assert "e\\x9b1m\nf" in text
