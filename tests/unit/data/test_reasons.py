"""Why files give no picture: said where nothing, or a whole class, cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import BrokenImage, decode_image, open_source, prepare, survey
from striate.data.decode import ImageSpec
from striate.errors import DataError
from striate.inspection import inspect

WriteTree = Callable[..., Path]
ConfigOf = Callable[..., object]
HEIC = b"\0\0\0\x20ftypheic\0\0\0\0mif1MiHEmiafheic" + bytes(300)
SPEC = ImageSpec((4, 4), 3)


def telephone(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.HEIC").write_bytes(HEIC + bytes([number]))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (HEIC, "HEIC, which cannot be read: save it as JPEG"),
        (b"\0\0\0\x1cftypmp42" + bytes(60), "a video"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"%PDF-1.7\n", "a PDF document"),
        (bytes(128) + b"DICM" + bytes(40), "DICOM"),
        (b"nothing of all this", "not an image in a format that can be read"),
    ],
)
def test_files_of_other_kinds_are_recognised(content: bytes, what: str) -> None:
    with pytest.raises(BrokenImage, match=what):
        decode_image(content, SPEC)


def test_a_set_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    for name in ("cat", "cow"):
        telephone(tmp_path / "phone" / name)
    with pytest.raises(DataError) as caught:
        survey(open_source(str(tmp_path / "phone")))
    assert str(caught.value).startswith(
        "None of the 10 sampled files of phone is an image that can be read: HEIC, which cannot be "
        "read: save it as JPEG (10 files, the first "
    )


def test_a_class_of_which_nothing_can_be_read(
    tmp_path: Path, write_tree: WriteTree, config_of: ConfigOf
) -> None:
    folder = write_tree(
        tmp_path / "half", [f"{c}/{n}.png" for c in ("cat", "cow") for n in range(9)]
    )
    telephone(folder / "goat")
    reason = (
        "The class 'goat' has no readable image to train on: HEIC, which cannot be read: save it "
        "as JPEG (5 files, the first goat/0.HEIC)."
    )
    with pytest.raises(DataError) as caught:
        prepare(config_of(folder))
    assert reason in str(caught.value)
    findings = inspect(open_source(str(folder)), labels=False)
    assert any(reason in note for note in findings.notes)
    assert len(findings.scan.broken) == 5


def test_a_class_whose_files_do_not_exist(
    tmp_path: Path, write_tree: WriteTree, config_of: ConfigOf
) -> None:
    names = [f"{c}/{n}.png" for c in ("cat", "cow") for n in range(9)]
    write_tree(tmp_path, names)
    rows = [*names, *(f"goat/{n}.png" for n in range(8))]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,label", *(f"{r},{r.partition('/')[0]}" for r in rows)]))
    with pytest.raises(DataError, match=r"'goat' has no readable.*does not exist.*\(8 files"):
        prepare(config_of(path))
