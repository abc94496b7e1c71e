"""Lists with faults that would otherwise merge classes, lose rows or let one row win in silence."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import open_source
from striate.data.field import Category, Labels, Value
from striate.data.source import Source
from striate.errors import DataError
from striate.tasks import recognised

THREE = ("cat", "cow", "dog")


@pytest.fixture
def rows(tmp_path: Path) -> list[tuple[str, str]]:
    """Path and label of ten pictures of each of three classes, which are there."""
    listed = [(f"{kind}_{n}.png", label) for kind, label in enumerate(THREE) for n in range(10)]
    for number, (name, _) in enumerate(listed):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / name)
    return listed


def a_list(folder: Path, text: str, name: str = "list.csv") -> Source:
    (folder / name).write_bytes(text.encode())
    return open_source(str(folder / name))


def refused(source: Source) -> str:
    with pytest.raises(DataError) as caught:
        _ = source.items
    return str(caught.value)


def test_a_row_longer_than_the_header_is_refused_by_its_line(tmp_path: Path, rows) -> None:
    labels = ("bird, small", "bird, large", "dog")
    text = "path,label\n" + "".join(f"{name},{labels[int(name[0])]}\n" for name, _ in rows)
    told = refused(a_list(tmp_path, text))
    assert "line 2: 3 values for 2 columns. Put a value that holds a comma in quotes." in told
    assert "and 10 more problems" in told
    in_path = "path,label\n" + "".join(f"a,b{n}.png,dog\n" for n in range(3))
    assert "line 4: 3 values for 2 columns" in refused(a_list(tmp_path, in_path))
    tabs = "path\tlabel\n" + "".join(f"{name}\t{label}\tx\n" for name, label in rows)
    assert "holds a tab in quotes" in refused(a_list(tmp_path, tabs))


def test_empty_values_beyond_the_header_do_no_harm(tmp_path: Path, rows) -> None:
    text = "path,label\n" + "".join(f"{name},{label},\n" for name, label in rows)
    assert a_list(tmp_path, text).class_names == THREE


@pytest.mark.parametrize("at", [{12}, {5, 20}])
def test_a_stray_quote_is_refused_by_its_line(tmp_path: Path, rows, at: set[int]) -> None:
    marked = [(n, name, '"' * (n in at) + label) for n, (name, label) in enumerate(rows)]
    text = "path,label\n" + "".join(f"{name},{label}\n" for _, name, label in marked)
    told = refused(a_list(tmp_path, text))
    assert f"line {min(at) + 2}: " in told
    assert "quote" in told


def test_two_stray_quotes_that_fit_each_other(tmp_path: Path, rows) -> None:
    """The value between them is whole, and holds the rows of other images."""
    lines = [f"{name},{label}" for name, label in rows]
    label = [*lines[:3], lines[3].replace(",", ',"'), *lines[4:9], lines[9] + '"', *lines[10:]]
    told = refused(a_list(tmp_path, "\n".join(["path,label", *label])))
    assert "line 5: its label holds the row of 0_4.png" in told
    path = [*lines[:3], f'"{lines[3]}', *lines[4:9], lines[9].replace(",", '",'), *lines[10:]]
    told = refused(a_list(tmp_path, "\n".join(["path,label", *path])))
    assert "line 5: its path holds the row of 0_4.png" in told
    free = [
        *(f"{line},x" for line in lines[:3]),
        f'{lines[3]},"x',
        f"{lines[4]},x",
        lines[5] + ',x"',
    ]
    told = refused(a_list(tmp_path, "\n".join(["path,label,remark", *free, lines[-1]])))
    assert "line 5: its remark holds the row of 0_4.png" in told


def test_labels_and_paths_hold_no_line_breaks(tmp_path: Path, rows) -> None:
    text = 'path,label\n0_0.png,"cat\nor so"\n0_1.png,dog\n'
    assert "line 2: the label 'cat\\nor so' holds line breaks" in refused(a_list(tmp_path, text))
    text = 'path,label\n0_1.png,dog\n"nowhere\n9.png",cat\n'
    assert r"line 3 (nowhere\n9.png) does not exist: close its quote." in refused(
        a_list(tmp_path, text)
    )


def test_a_remark_may_have_several_lines(tmp_path: Path, rows) -> None:
    text = 'path,label,remark\n0_0.png,cat,"first, or\nsecond, or\nthird"\n0_1.png,dog,\n'
    assert len(a_list(tmp_path, text).items) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "path,label,Label\n0_0.png,cat,dog\n0_1.png,dog,cat\n"),
        ("list.json", '[{"path": "0_0.png", "label": "cat", "label": "dog"}]'),
    ],
)
def test_a_column_that_comes_twice_is_refused(tmp_path: Path, rows, name: str, text: str) -> None:
    assert "'label' twice" in refused(a_list(tmp_path, text, name)).replace(
        "column label", "column 'label'"
    )


def test_one_image_in_two_splits_is_refused(tmp_path: Path, rows) -> None:
    lines = [f"{p},{c},{'train' if n % 5 else 'test'}" for n, (p, c) in enumerate(rows)]
    lines += [f"{p},{c},train" for p, c in rows[::5]]
    told = refused(a_list(tmp_path, "\n".join(["path,label,split", *lines])))
    assert (
        "0_0.png has several rows, which differ in its split: 'test' (line 2), 'train' (line 32). "
        "Leave one row for each image." in told
    )
    assert told.count("differ in its split") == 6


@pytest.mark.parametrize(
    ("header", "one", "other"),
    [
        ("path,label,group", "cat,anna", "cat,bert"),
        ("path,label,mask", "cat,a.png", "cat,b.png"),
        ("path,value", "3.5", "4"),
        ("path,label", "3.5", "4.25"),
    ],
)
def test_rows_of_one_image_do_not_contradict(
    tmp_path: Path, rows, header: str, one: str, other: str
) -> None:
    lines = [header, f"0_0.png,{one}", f"0_1.png,{other}", f"0_0.png,{other}"]
    column = header.rpartition(",")[2]
    assert f"0_0.png has several rows, which differ in its {column}" in refused(
        a_list(tmp_path, "\n".join(lines))
    )


def test_numbers_of_several_rows_are_refused_where_a_task_reads_them(tmp_path: Path, rows) -> None:
    source = a_list(tmp_path, "path,label,age\n0_0.png,cat,3\n0_1.png,dog,5\n0_0.png,cat,4\n")
    assert Category.of(source, "category").names == ("cat", "dog")
    with pytest.raises(DataError, match=r"line 2, line 4 \(0_0\.png\): age is '3\\n4'"):
        Value.of(source, "value", ["age"])


def test_one_image_with_several_labels_needs_a_word(tmp_path: Path, rows) -> None:
    lines = [f"{name},{label}" for name, label in rows]
    lines += [f"{name},striped" for name, _ in rows[1::2]]
    source = a_list(tmp_path, "\n".join(["path,label", *lines]))
    assert recognised(source) is None
    with pytest.raises(DataError, match=r"(?s)15 image\(s\) .*0_1\.png: cat \(line 3\), striped"):
        Category.of(source, "category")
    assert Labels.of(source, "labels").names == ("cat", "cow", "dog", "striped")


def test_rows_that_say_the_same_are_one_image(tmp_path: Path, rows) -> None:
    lines = [f"{name},{label}" for name, label in [*rows, *rows[:3]]]
    source = a_list(tmp_path, "\n".join(["path,label", *lines]))
    assert (len(source.items), source.class_names) == (30, THREE)
    assert source.notes[0].startswith("3 name(s) occur more than once")


def json_list(folder: Path, rows, label) -> Source:
    values = [{"path": p, "label": label(c, n)} for n, (p, c) in enumerate(rows)]
    return a_list(folder, json.dumps(values), "list.json")


def test_a_label_of_a_json_list_is_text_or_a_number(tmp_path: Path, rows) -> None:
    told = refused(json_list(tmp_path, rows, lambda label, n: {"name": label}))
    assert 'entry 1: label is {"name": "cat"}; accepted: text, a number or a list' in told
    told = refused(json_list(tmp_path, rows, lambda label, n: float("nan") if n == 3 else label))
    assert "entry 4 has no label." in told
    told = refused(json_list(tmp_path, rows, lambda label, n: [label, {"a": 1}]))
    assert "entry 1: label is" in told
    numbers = json_list(tmp_path, rows, lambda label, n: THREE.index(label))
    assert numbers.class_names == ("0", "1", "2")


def test_lists_of_labels_are_several_labels(tmp_path: Path, rows) -> None:
    source = json_list(tmp_path, rows, lambda label, n: [label, "striped"] if n % 2 else [label])
    named = recognised(source)
    assert named is not None
    assert named[0] == "labels"
    assert Labels.of(source, "labels").names == ("cat", "cow", "dog", "striped")


@pytest.mark.parametrize("cell", ['["cat", null]', '["cat", NaN]', '[["cat"]]'])
def test_lists_in_cells_hold_names(tmp_path: Path, rows, cell: str) -> None:
    source = a_list(tmp_path, f"path;labels\n0_0.png;{cell}\n0_1.png;[]\n")
    with pytest.raises(DataError, match="no list of names"):
        Labels.of(source, "labels")


def test_nan_is_no_class(tmp_path: Path, rows) -> None:
    told = refused(a_list(tmp_path, "path,label\n0_0.png,cat\n0_1.png,nan\n0_2.png,dog\n"))
    assert "line 3 has no label, it is 'nan'." in told
    group = json.dumps(
        [
            {"path": p, "label": c, "group": float("nan") if n else "a"}
            for n, (p, c) in enumerate(rows)
        ]
    )
    items = a_list(tmp_path, group, "list.json").items
    assert [item.group for item in items[:2]] == ["a", None]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("cat", "cat\u200b", r"spaces or invisible characters: 'cat', 'cat\u200b'"),
        ("polar bear", "polar  bear", "spaces or invisible characters"),
        ("café", "cafe\u0301", r"composed and decomposed letters: 'cafe\u0301', 'caf\xe9'"),
        ("cat", "Cat\u00a0x", None),
    ],
)
def test_names_that_nobody_can_tell_apart(
    tmp_path: Path, rows, one: str, other: str, told: str | None
) -> None:
    lines = [f"0_{n}.png,{one if n % 2 else other}" for n in range(6)]
    source = a_list(tmp_path, "\n".join(["path,label", *lines]))
    if told is None:
        assert len(source.class_names) == 2
    else:
        assert f"Names of classes differ only in {told}" in refused(source)


def test_lists_from_windows(tmp_path: Path, rows) -> None:
    (tmp_path / "img").mkdir()
    for name, _ in rows:
        (tmp_path / name).rename(tmp_path / "img" / name)
    backslashes = "path,label\n" + "".join(f"img\\{name},{label}\n" for name, label in rows)
    source = a_list(tmp_path, backslashes)
    assert source.items[0].name == "img/0_0.png"
    assert isinstance(source.read(source.items[0]), bytes)
    first_line = "sep=;\r\npath;label\r\n" + "".join(f"img/{p};{c}\r\n" for p, c in rows)
    source = a_list(tmp_path, first_line)
    assert (len(source.items), source.class_names) == (30, THREE)
    assert "line 3 has no label" in refused(a_list(tmp_path, "sep=;\npath;label\nimg/0_0.png;\n"))


def test_a_path_is_that_of_the_file_in_the_other_composition(tmp_path: Path) -> None:
    lines = ["path,label"]
    for kind, label in enumerate(("é", "b")):
        for number in range(3):
            name = f"{label}{number}.png"
            image = Image.new("L", (4, 4), 10 * kind + number)
            image.save(tmp_path / unicodedata.normalize("NFD", name))
            lines.append(f"{unicodedata.normalize('NFC', name)},{label}")
    source = a_list(tmp_path, "\n".join(lines))
    assert all(isinstance(source.read(item), bytes) for item in source.items)
    assert source.items[-1].name == unicodedata.normalize("NFD", "é2.png")
