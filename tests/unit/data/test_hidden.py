"""What systems leave in folders, hidden images, and names that can be taken for two things."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import open_source
from striate.data.layout import read_layout
from striate.errors import DataError

WriteTree = Callable[..., Path]
THREE = ("cat", "cow", "dog")


def names_of(*classes: str, each: int = 3) -> list[str]:
    return [f"{name}/{number}.png" for name in classes for number in range(each)]


def sources(folder: Path, pack):
    """The set as a folder and as archives, which must be understood alike."""
    yield open_source(str(folder))
    for ending in (".zip", ".tar"):
        yield open_source(str(pack(folder, ending)))


@pytest.mark.parametrize(
    "litter",
    [
        "cat/@eaDir/0.png/SYNOPHOTO_THUMB_XL.png",
        "@eaDir/0.png/SYNOPHOTO_THUMB_XL.png",
        "$RECYCLE.BIN/S-1-5-21/$R0ABC.png",
        "System Volume Information/0.png",
        "lost+found/#12.png",
        ".ipynb_checkpoints/0-checkpoint.png",
        ".Trash-1000/files/0.png",
        "#recycle/cat/0.png",
    ],
)
def test_litter_of_systems_is_left_out_with_a_note(
    tmp_path: Path, write_tree: WriteTree, pack, litter: str
) -> None:
    folder = write_tree(tmp_path / "s", [*names_of(*THREE), litter])
    (folder / "cow" / "ehthumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    left = next(part for part in litter.split("/") if part not in THREE)
    for source in sources(folder, pack):
        assert source.class_names == THREE
        assert len(source.items) == 9
        assert f"Left out, as systems leave it behind: {left}." in source.notes


def test_folders_of_systems_need_not_be_readable(
    tmp_path: Path, write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tree(tmp_path / "disk", names_of(*THREE))
    (folder / "lost+found").mkdir(mode=0o700)
    scandir = os.scandir

    def guarded(path):
        if "lost+found" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert open_source(str(folder)).class_names == THREE


def test_hidden_images_do_not_vanish_in_silence(
    tmp_path: Path, write_tree: WriteTree, pack
) -> None:
    hidden = [*names_of(".25", ".5"), "1/.a.png", "1/._b.png", ".git/x/y.png"]
    folder = write_tree(tmp_path / "s", [*names_of("1", "2"), *hidden])
    for source in sources(folder, pack):
        assert source.class_names == ("1", "2")
        (note,) = source.notes
        assert note.replace(" s/", " ") == (
            "7 hidden image(s) were left out: .25 (3), .5 (3), 1/.a.png (1). Give the files or "
            "folders names that do not begin with a point if they belong to the set."
        )


def test_what_is_hidden_does_not_change_the_fingerprint(
    tmp_path: Path, write_tree: WriteTree
) -> None:
    folder = write_tree(tmp_path / "s", names_of(*THREE))
    before = open_source(str(folder)).fingerprint()
    write_tree(folder, [".git/a.png", "@eaDir/0.png/x.png", "cat/.DS_Store.png"])
    assert open_source(str(folder)).fingerprint() == before


@pytest.mark.parametrize(
    "names",
    [
        names_of("bus", "car", "train"),
        [*names_of("bus", "car"), *names_of("train/steam", "train/electric")],
    ],
)
def test_a_class_called_train_is_asked_about(
    tmp_path: Path, write_tree: WriteTree, pack, names: list[str]
) -> None:
    for source in sources(write_tree(tmp_path / "s", names), pack):
        with pytest.raises(DataError, match=r"beside it folders with images.*bus, car.*rename"):
            _ = source.items


def test_folders_beside_certain_splits_are_left_out(tmp_path: Path, write_tree: WriteTree) -> None:
    names = [*names_of("train/a", "train/b", "test/a", "test/b"), *names_of("unlabelled")]
    source = open_source(str(write_tree(tmp_path / "s", names)))
    assert len(source.items) == 12
    assert "Folders beside train/ were left out: unlabelled." in source.notes
    folder = write_tree(tmp_path / "t", names_of("train/a", "train/b"))
    (folder / "scripts").mkdir()
    (folder / "scripts" / "make.py").write_text("")
    source = open_source(str(folder))
    assert "Folders beside train/ were left out: scripts." in source.notes


def test_a_class_called_valid_needs_another_name(tmp_path: Path, write_tree: WriteTree) -> None:
    source = open_source(str(write_tree(tmp_path / "s", names_of("valid", "invalid"))))
    with pytest.raises(DataError, match="rename the folder if it is a class"):
        _ = source.items


def test_two_levels_of_folders_are_noted(tmp_path: Path, write_tree: WriteTree, pack) -> None:
    names = names_of("animal/cat", "animal/dog", "plant/rose")
    folder = write_tree(tmp_path / "s", names)
    for source in sources(folder, pack):
        assert source.class_names == ("animal", "plant")
        assert source.notes[0].endswith("ones are classes: --target-pattern '**/{label}/*'")
    inner = open_source(str(folder), "**/{label}/*")
    assert inner.class_names == ("cat", "dog", "rose")
    divided = write_tree(tmp_path / "d", names_of("a/train", "a/test", "b/train", "b/test"))
    (note,) = open_source(str(divided)).notes
    assert note.endswith("If the inner ones are splits: --target-pattern '{label}/{split}/*'")
    items = open_source(str(divided), "{label}/{split}/*").items
    assert {(item.label, item.split) for item in items} == {
        (label, split) for label in range(2) for split in ("train", "test")
    }
    one_each = write_tree(tmp_path / "t", names_of("a/images", "b/images"))
    assert open_source(str(one_each)).notes == ()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one spelling of a name")
def test_composed_and_decomposed_names_are_one_class(
    tmp_path: Path, write_tree: WriteTree, pack
) -> None:
    names = [*names_of("caf\u00e9", "bar"), "cafe\u0301/20.png", "cafe\u0301/0.png"]
    for source in sources(write_tree(tmp_path / "s", names), pack):
        assert len(source.class_names) == 2
        assert sum(item.label == 1 for item in source.items) == 5
        assert any("decomposed letters, and were joined with it: caf" in n for n in source.notes)


def test_names_that_differ_in_spaces_are_refused(tmp_path: Path, write_tree: WriteTree) -> None:
    source = open_source(str(write_tree(tmp_path / "s", names_of("cat", "cat ", "dog"))))
    with pytest.raises(DataError, match=r"spaces or invisible characters: 'cat', 'cat '\. Merge"):
        _ = source.items


def test_splits_that_spell_a_class_otherwise() -> None:
    from striate.data.layout import Entry

    names = ["train/cat/1.png", "train/dog/1.png", "test/cat /1.png", "test/dog/1.png"]
    found = read_layout("s", [Entry(tuple(name.split("/")), name) for name in names])
    assert found.class_names == ("cat", "dog")
    assert [item.label for item in found.items if item.split == "test"] == [0, 1]
