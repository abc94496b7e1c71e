"""Hints can be typed as they stand, and the end of a training says what is true."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from striate import api
from striate.cli.option import say
from striate.cli.training import _about_test_split
from striate.errors import LeakError, command_line
from striate.run_folder import RunFolder
from striate.terminal import Reporter, Terminal
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


def test_leaks_are_refused_before_the_plan_is_shown(tmp_path):
    draw = np.random.default_rng(0)
    for n in range(24):
        pixels = draw.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
        for split in ("train", "test") if n % 4 == 0 else ("train",):
            path = tmp_path / "set" / split / "ab"[n % 8 // 4] / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    seen = []

    class Watching(Reporter):
        def choices(self, rows):
            seen.append(rows)

    options = {"steps": 1, "network": "linear", "reporter": Watching(), "out": tmp_path / "run"}
    with pytest.raises(LeakError, match="6 of the 6 test images"):
        api.train(tmp_path / "set", **options)
    assert not seen
    assert not (tmp_path / "run").exists()
    api.train(tmp_path / "set", leaks="drop", **options)
    assert len(seen) == 1


def test_the_time_left_counts_no_set_up(capsys, monkeypatch):
    """Set-up took 50 s, each step takes one."""
    monkeypatch.setattr("striate.terminal._LINE_EVERY", 0.0)
    terminal = Terminal(Console(width=200, highlight=False))
    step = {"event": "step", "of": 130, "loss": 1.0, "images_per_second": 8.0}
    for number in (2, 5, 10):
        terminal.event({**step, "step": number, "seconds": 50.0 + number})
    first, *others = capsys.readouterr().out.splitlines()
    assert "left" not in first
    assert [line.rpartition("  ")[2] for line in others] == ["2 min 05 s left", "2 min 00 s left"]


def test_the_time_left_is_no_longer_than_the_clock_lets_the_steps(capsys, monkeypatch):
    """Steps were slow for a moment: they take 120 s more at that speed, of which 70 are there."""
    monkeypatch.setattr("striate.terminal._LINE_EVERY", 0.0)
    step = {"event": "step", "of": 130, "loss": 1.0, "images_per_second": 8.0}
    step |= {"seconds_left": 70.0}
    for is_terminal in (False, True):
        console = Console(width=200, highlight=False, force_terminal=is_terminal)
        terminal = Terminal(console)
        for number in (2, 10):
            terminal.event({**step, "step": number, "seconds": 50.0 + number})
        terminal.close()
        assert "1 min 10 s" in capsys.readouterr().out
