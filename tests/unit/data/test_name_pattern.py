"""Patterns of names: what they find, and what is wrong with those that find nothing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.config import DataConfig
from striate.data import open_source
from striate.data.field import Value
from striate.data.name_pattern import target_expression
from striate.errors import DataError
from striate.typed_json import encode


def pictures(folder: Path, *names: str) -> Path:
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), n, np.uint8)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("*_{age}_*.jpg", "a_35_b_c.jpg", {"age": "35"}),
        ("*_{age}.jpg", "img_01_35.jpg", {"age": "35"}),
        ("*_{age}.jpg", "img_3.5.jpg", {"age": "3.5"}),
        ("{text}.png", "2b8f-1.png", {"text": "2b8f-1"}),
        ("{label}-*.png", "cat-7-1.png", {"label": "cat"}),
        ("*_{x}_{y}.png", "a_b_-3_4e2.png", {"x": "-3", "y": "4e2"}),
        ("{split}/**/{group}/{n}_*", "test/a/b/p7/1_2", {"split": "test", "group": "p7", "n": "1"}),
        ("**/{group}/*={value}.tif", "test/a/b/p7/d=12.tif", {"group": "p7", "value": "12"}),
        ("*({value}).png", "a(1.5).png", {"value": "1.5"}),
        ("*_{age}.jpg", "a_35.png", None),
        ("*_{age}.jpg", "a/b_35.jpg", None),
    ],
)
def test_what_a_pattern_finds(pattern: str, name: str, found: dict[str, str] | None) -> None:
    match = target_expression(pattern).fullmatch(name)
    assert (None if match is None else match.groupdict()) == found


def test_values_of_names_with_splits_of_folders(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "train/a_1.5.png", "train/b_2.png", "test/c_7.png")
    source = open_source(str(folder), "*_{value}.png")
    found = [(item.name, item.split, item.columns) for item in source.items]
    assert found == [
        ("test/c_7.png", "test", {"value": "7"}),
        ("train/a_1.5.png", "train", {"value": "1.5"}),
        ("train/b_2.png", "train", {"value": "2"}),
    ]
    assert Value.of(source, "value").names == ("value",)
    assert source.read(source.items[0])[:4] == b"\x89PNG"


def test_labels_and_groups_of_names_in_folder_and_archive(tmp_path: Path, pack) -> None:
    names = ["x/cat-p1-0.png", "x/dog-p2-1.png", "y/cat-p3-2.png", "y/notes.png"]
    folder = pictures(tmp_path / "set", *names)
    for place in (folder, pack(folder, ".zip"), pack(folder, ".tar")):
        source = open_source(str(place), "{label}-{group}-*.png")
        assert source.class_names == ("cat", "dog")
        assert [(i.label, i.group, i.split) for i in source.items] == [
            (0, "p1", None),
            (1, "p2", None),
            (0, "p3", None),
        ]
        assert "1 file(s) whose names do not fit" in source.notes[0]
        assert source.fingerprint() != open_source(str(place), "{label}-*.png").fingerprint()


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("*.png", "names nothing"),
        ("{Age}_*.png", r"has \{Age\}: a name is a word in small letters"),
        ("{}.png", r"has \{\}: a name is a word"),
        ("{age}_{age}.png", r"has \{age\} twice"),
        ("{path}.png", r"has \{path\}, which is the name of the file"),
        ("{age}_*.jpg", r"None of the 2 files of .* fits .*: a_1.png, b_2.png"),
    ],
)
def test_patterns_that_find_nothing(tmp_path: Path, pattern: str, told: str) -> None:
    folder = pictures(tmp_path, "a_1.png", "b_2.png")
    with pytest.raises(DataError, match=told) as caught:
        _ = open_source(str(folder), pattern).items
    assert "* stands for anything within one folder" in str(caught.value)


def test_what_a_pattern_is_not_for(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,value\na.png,3\n")
    for place in (tmp_path / "list.csv", "digits", tmp_path / "nothing"):
        with pytest.raises(DataError, match=r"is neither\. Leave out --target-pattern"):
            open_source(str(place), "{value}.png")


def test_a_setting_that_is_not_given_leaves_no_trace() -> None:
    """Hashes of runs stay what they were."""
    assert "target_pattern" not in encode(DataConfig("x", (8, 8), 1))
    assert encode(DataConfig("x", (8, 8), 1, target_pattern="{a}"))["target_pattern"] == "{a}"
