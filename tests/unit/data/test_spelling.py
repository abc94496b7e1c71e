"""Names of any bytes stay distinct and are shown on one line."""

import io
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import open_source, prepare
from striate.data.spelling import enumerated, shown, text_name


def test_shown_and_enumerated() -> None:
    assert shown("a\nb\r\x1b\u2028ü 猫 \u3000.png") == "a\\nb\\r\\x1b\\u2028ü 猫 \u3000.png"
    assert enumerated(["a\nb", "c", "d"], most=2) == "a\\nb, c and 1 more"
    assert text_name("\udce4\udc80ü.png") == "\\xe4\\x80ü.png"
    assert text_name("\ud800") == "\\ud800"


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
