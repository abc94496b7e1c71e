"""Names of any bytes stay distinct and are shown on one line."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from striate.data import open_source, prepare
from striate.data.spelling import (
    cell_name,
    enumerated,
    json_text,
    safe_cell,
    shown,
    text_name,
    visible,
)


def test_shown_and_enumerated() -> None:
    assert shown("a\nb\r\x1b\u2028ü 猫 \u3000.png") == "a\\nb\\r\\x1b\\u2028ü 猫 \u3000.png"
    assert enumerated(["a\nb", "c", "d"], most=2) == "a\\nb, c and 1 more"
    assert text_name("\udce4\udc80ü.png") == "\\xe4\\x80ü.png"
    assert text_name("\ud800") == "\\ud800"


def test_marks_that_turn_the_direction_of_writing_are_shown() -> None:
    assert shown("gpj.\u202eexe") == "gpj.\\u202eexe"
    assert shown("\u2066a\u2069\u200f") == "\\u2066a\\u2069\\u200f"
    # Letters that join, and emoji of several signs, are names.
    assert shown("\u0646\u200c\u0645 👩\u200d🔬") == "\u0646\u200c\u0645 👩\u200d🔬"


def test_text_of_several_lines_keeps_its_lines() -> None:
    assert visible("a\tb\nc\x1b[2J\r\u202e") == "a\tb\nc\\x1b[2J\\r\\u202e"


def test_json_text_is_the_same_value_without_control_characters() -> None:
    value = {"a\x1b": ["\u202e\x7f\x9b", "ü 猫", "line\nbreak", "\ud800"]}
    text = json_text(value)
    assert text.isprintable()
    assert json.loads(text) == value
    assert json.loads(json_text(value, indent=2)) == value


NAMES = ["=1+1", "+a", "-a", "@sum", "＝x", "'=1", "''@", "cat", "-1.5", "+3", ".5", "-", ""]


@pytest.mark.parametrize("name", NAMES)
def test_cells_cannot_be_formulas_and_names_come_back(name: str) -> None:
    cell = safe_cell(name)
    with suppress(ValueError):
        assert float(cell) == float(name)
        return
    assert not cell.startswith(("=", "+", "-", "@", "＝"))
    assert cell_name(cell) == (name.lstrip("'") if "'" in cell[:1] else name)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_no_utf8_stay_distinct(
    photos: Path, tmp_path: Path, config_of: Callable[..., object]
) -> None:
    for number, byte in enumerate((b"\xe4", b"\xf6")):
        old = os.fsencode(photos / "cow" / f"{number}.png")
        os.rename(old, os.fsencode(photos / "cow") + b"/" + byte + b".png")
    packed = tmp_path / "photos.tar"
    with tarfile.open(packed, "w") as archive:
        archive.add(photos, "photos")
    for path in (photos, packed):
        data = prepare(config_of(path))
        names = [item.name for item in open_source(str(path)).items]
        assert len(names) == 31
        assert {"cow/\\xe4.png", "cow/\\xf6.png"} <= set(names)
        assert data.notes == ()


def test_a_dropped_item_is_noted(tmp_path: Path, photos: Path) -> None:
    packed = tmp_path / "twice.tar"
    with tarfile.open(packed, "w") as archive:
        archive.add(photos, "photos")
        for content in (b"1", b"22"):
            member = tarfile.TarInfo("photos/cow/line\nbreak.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    source = open_source(str(packed))
    assert source.notes == (
        "1 name(s) occur more than once, and only the last of each was kept: cow/line\\nbreak.png.",
    )
    assert len(source.items) == 32


@pytest.mark.skipif(sys.platform == "win32", reason="line breaks in names")
def test_line_breaks_in_names_are_kept_and_shown_on_one_line(
    photos: Path, config_of: Callable[..., object]
) -> None:
    (photos / "ant").rename(photos / "a\nt")
    (photos / "a\nt" / "x\ny.png").write_bytes(b"")
    (photos / "no\nthing").mkdir()
    (photos / "read\nme").write_bytes(b"")
    whole = photos.rename(photos.with_name("two\nlines"))
    data = prepare(config_of(whole))
    assert data.class_names == ("a\nt", "bee", "cow")
    assert [file.name for file in data.broken] == ["a\nt/x\ny.png"]
    assert len(data.notes) == 3
    assert not [note for note in data.notes if "\n" in note]
    assert "a\\nt/x\\ny.png: the file is empty" in data.notes[-1]
