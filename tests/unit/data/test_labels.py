"""Several labels of an image from a list: every form that people write, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import ImageSpec, open_source, survey
from striate.data.field import field_from_json
from striate.data.field.labels import Labels, split_cell, why_labels, why_lists
from striate.errors import DataError
from striate.tasks import recognised


def a_list(folder: Path, *lines: str, name: str = "list.csv") -> str:
    for i in range(9):
        Image.new("L", (4, 4), 20 * i).save(folder / f"{i}.png")
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def table_of(path: str) -> tuple[tuple[str, ...], list[list[int]]]:
    source = open_source(path)
    field = Labels.of(source, "labels")
    loaded = field.load(source, source.items, ImageSpec((4, 4), 1), Path())
    kept = field_from_json(json.loads(json.dumps(field.to_json())))
    assert kept.to_json() == field.to_json()
    stored = json.loads(json.dumps(kept.encode(loaded.column)))
    np.testing.assert_array_equal(kept.decode(stored), loaded.column)
    return field.names, np.asarray(loaded.column).tolist()


FORMS = {
    "semicolons": ["path,labels", "0.png,koala; wet", "1.png,dusk", "2.png,", "3.png,wet;dusk"],
    "one class column": ["path,label", "0.png,koala;wet", "1.png,dusk", "2.png,", "3.png,wet;dusk"],
    "commas": [
        "path\tlabels",
        "0.png\tkoala, wet",
        "1.png\tdusk",
        "2.png\tnone",
        "3.png\twet,dusk",
    ],
    "columns": [
        "path,dusk,koala,wet",
        "0.png,0,1,1",
        "1.png,1,0,0",
        "2.png,0,0,0",
        "3.png,1,no,true",
    ],
    "words": ["path,labels", "0.png,koala wet", "1.png,dusk", "2.png,", "3.png,wet dusk"],
    "json in a cell": [
        "path;labels",
        '0.png;["koala","wet"]',
        '1.png;["dusk"]',
        "2.png;[]",
        '3.png;["wet", "dusk"]',
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_table(form: str, tmp_path: Path) -> None:
    path = a_list(tmp_path, *FORMS[form])
    assert table_of(path) == (
        ("dusk", "koala", "wet"),
        [[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1]],
    )
    source = open_source(path)
    named = recognised(source)
    assert named is not None
    assert named[0] == "labels"
    assert survey(source).num_images == 4


def test_a_json_list_of_objects(tmp_path: Path) -> None:
    rows = [
        {"path": "0.png", "labels": ["koala", "wet"]},
        {"path": "1.png", "labels": []},
        {"path": "2.png", "labels": None},
    ]
    path = a_list(tmp_path, json.dumps(rows), name="list.json")
    assert table_of(path) == (("koala", "wet"), [[1, 1], [0, 0], [-1, -1]])


def test_a_missing_cell_is_not_a_negative(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,wet,dusk", "0.png,1,", "1.png,,0", "2.png,?,1", "3.png,0,NA")
    with pytest.raises(DataError, match=r"2\.png: wet is '\?'; accepted: 1, 0, or an empty cell"):
        Labels(("wet",)).read(open_source(path).items[2])
    path = a_list(tmp_path, "path,wet,dusk", "0.png,1,", "1.png,,0", "2.png,,1", "3.png,0,NA")
    names, table = table_of(path)
    assert table == [[1, -1], [-1, 0], [-1, 1], [0, -1]]
    summary = Labels(names).summary(np.array(table))
    assert summary == "2 labels, the rarest 1; 2 images without any; 4 cells not known"
    # A row that ends before its labels says nothing of them.
    path = a_list(
        tmp_path, "path,split,labels", "0.png,train,wet;dusk", "1.png,train", "2.png,train,"
    )
    assert table_of(path)[1] == [[1, 1], [-1, -1], [0, 0]]


def test_several_rows_need_a_word(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,label", "0.png,polar bear", "1.png,wet", "0.png,wet", "2.png,wet")
    source = open_source(path)
    assert recognised(source) is None
    assert source.class_names == ()
    assert survey(source).num_images == 3
    assert "0.png: polar bear (line 2), wet (line 4)" in source.no_classes
    assert f"striate train {path} --task labels" in source.no_classes
    # Words stay together where rows say which labels an image has.
    assert table_of(path) == (("polar bear", "wet"), [[1, 1], [0, 1], [0, 1]])


def test_equal_rows_are_one_image_of_one_class(tmp_path: Path) -> None:
    source = open_source(a_list(tmp_path, "path,label", "0.png,a", "1.png,b", "0.png,a"))
    assert source.class_names == ("a", "b")
    assert "only the last of each was kept" in source.notes[0]


def test_classes_are_labels_where_a_person_asks(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,label", "0.png,cat", "1.png,dog", "2.png,cat")
    assert recognised(open_source(path)) is None
    assert table_of(path) == (("cat", "dog"), [[1, 0], [0, 1], [1, 0]])


def test_class_names_of_several_words_stay_classes() -> None:
    bears = {f"{kind} bear": 20 for kind in ("polar", "brown", "black", "sun")}
    assert why_lists(bears) is None
    assert why_lists({"n01440764;tench": 9, "n01443537;goldfish": 9}) is None
    photographs = {"maillot": 9, "maillot, tank suit": 9, "tank, army tank": 9, "crane": 9}
    assert why_lists(photographs) is None
    # More combinations than words, or hardly an image for each.
    few = {f"{a} {b}": 20 for a in ("red", "blue", "dark") for b in ("cup", "jar", "pan")}
    assert "'red' stands in 3 of 9 combinations" in str(why_lists(few))
    assert "koala" in str(why_lists({"koala wet dusk": 1, "koala": 1, "wet koala": 2}))


def test_class_folders_of_combinations(tmp_path: Path) -> None:
    for name in ("koala wet", "koala", "wet", "wet dusk", "koala dusk", "koala wet dusk"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "0.png")
    source = open_source(str(tmp_path))
    assert "koala" in str(why_labels(source))
    assert table_of(str(tmp_path))[0] == ("dusk", "koala", "wet")


def test_what_has_no_labels_says_what_would(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,size", "0.png,3", "1.png,4")
    with pytest.raises(DataError, match=r"names no labels\. Accepted: a column \"labels\""):
        Labels.of(open_source(path), "labels")
    path = a_list(tmp_path, "path,labels", "0.png,Wet;dusk", "1.png,wet")
    with pytest.raises(DataError, match="differ only in letter case: Wet, wet"):
        Labels.of(open_source(path), "labels")
    with pytest.raises(DataError, match="is no JSON list"):
        split_cell('["wet"', ";")


def test_an_inspection_counts_each_label(tmp_path: Path) -> None:
    source = open_source(a_list(tmp_path, "path,wet,dusk", "0.png,1,1", "1.png,0,1", "2.png,,0"))
    found = [tuple(finding) for finding in Labels.inspect(source, source.items)]
    assert found == [
        ("labels", "2", "2 labels, the rarest 1; 1 images without any; 1 cells not known"),
        ("wet", "1", "images"),
        ("dusk", "2", "images"),
    ]
    classes = open_source(a_list(tmp_path, "path,label", "0.png,cat", "1.png,dog"))
    assert Labels.inspect(classes, classes.items) == []
