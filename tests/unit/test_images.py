"""What a person hands over to be predicted: every path gets an answer or a problem."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.api.images import decode_all, named_images, relative_paths
from striate.data import BrokenImage, ImageSpec, decode_image, open_source
from striate.errors import DataError

SPEC = ImageSpec((4, 4), 1)


def pictures(*paths: Path) -> None:
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 5), number).save(path)


def outcomes(images) -> dict[str, str | None]:
    """The problem of each image, None where it was read."""
    named = named_images(images)
    decoded = decode_all(lambda image: decode_image(image, SPEC), [image for _, image in named])
    problems = (str(image) if isinstance(image, BrokenImage) else None for image in decoded)
    return dict(zip([name for name, _ in named], problems, strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_folder_holds_what_a_training_sees(tmp_path: Path, monkeypatch) -> None:
    new = tmp_path / "new"
    pictures(*(new / f"{n}.png" for n in (10, 2, 1)), *(new / f"closed/{n}.png" for n in range(5)))
    pictures(*(tmp_path / f"elsewhere/{n}.png" for n in range(5)))
    pictures(new / ".ipynb_checkpoints" / "h.png", new / "__MACOSX" / "m.png")
    pictures(new / "@eaDir" / "1.png" / "XL.png", new / ".a.png")
    (new / "Thumbs.db").write_bytes(bytes(500))
    (new / "desktop.ini").write_text("x")
    (new / "linked").symlink_to(tmp_path / "elsewhere")
    (new / "linked" / "back").symlink_to(new)
    (new / "dead.png").symlink_to("/nowhere/x.png")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = outcomes(str(new))
    read = [name for name, problem in found.items() if problem is None]
    assert read == [
        *(str(new / f"{name}.png") for name in ("1", "10", "2")),
        *(str(new / f"linked/{n}.png") for n in range(5)),
    ]
    assert found.keys() - read == {str(new / "closed"), str(new / "dead.png")}
    assert found[str(new / "closed")] == "no permission to read it"
    assert "does not exist" in str(found[str(new / "dead.png")])


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_folders_that_are_all_links(tmp_path: Path) -> None:
    names = [f"{c}/{n}.png" for c in ("a", "b", "c") for n in range(3)]
    pictures(*(tmp_path / "real" / name for name in names))
    (tmp_path / "links").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "links" / name).symlink_to(tmp_path / "real" / name)
    assert list(outcomes(tmp_path / "links")) == [str(tmp_path / "links" / name) for name in names]
    seen = open_source(str(tmp_path / "links")).items
    assert [item.name for item in seen] == names


def test_one_path_that_cannot_be_read_leaves_the_others(tmp_path: Path, monkeypatch) -> None:
    good, empty, long = tmp_path / "good.png", tmp_path / "empty", tmp_path / ("x" * 260)
    pictures(good)
    empty.mkdir()
    stat = os.stat

    def guarded(path, **options):
        if str(path).startswith("/closed"):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", guarded)
    found = outcomes([str(good), "/closed/x.png", str(empty), str(long), os.devnull, str(good)])
    assert found == {
        str(good): None,
        "/closed/x.png": "no permission to read it",
        str(empty): "the folder holds no files",
        str(long): "its name is too long for this system",
        os.devnull: "it cannot be read (it is a pipe or a device, no plain file)",
    }


@pytest.mark.parametrize("images", ["", " ", ["a.png", ""]])
def test_an_empty_path_is_not_the_working_folder(images) -> None:
    with pytest.raises(DataError, match="variable of the shell that is not set"):
        named_images(images)


def test_paths_of_problems_lie_below_the_folder_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert relative_paths(tmp_path, [(str(tmp_path / "a"), BrokenImage("closed"))]) == [Path("a")]


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((9, 8), 1),
        ((9, 8, 3), 1),
        ((9, 8, 1), 1),
        ((5, 9, 8), 5),
        ((1, 9, 8), 1),
        ((2, 9, 8, 3), 2),
        ((100, 8, 8), 100),
        ((6, 5, 5), 6),
    ],
)
def test_arrays_are_one_picture_or_several(shape: tuple[int, ...], count: int) -> None:
    assert len(named_images(np.zeros(shape, np.uint8))) == count


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((3, 24, 28), r"channels come first, or 3 grey ones.*transpose\(1, 2, 0\)"),
        ((4, 24, 28), "channels come first, or 4 grey ones"),
        ((24, 28, 2), r"one picture with 2 channels.*accepted: \(H, W\), \(H, W, 1\)"),
        ((24, 28, 5), "one picture with 5 channels"),
    ],
)
def test_arrays_that_may_be_both_are_refused(shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(DataError, match=told):
        named_images(np.zeros(shape, np.uint8))


def test_channels_of_tensors_come_first() -> None:
    (_, one), *others = named_images(torch.zeros(3, 24, 28, dtype=torch.uint8))
    assert (one.shape, others) == ((24, 28, 3), [])
    assert len(named_images(torch.zeros(5, 3, 24, 28, dtype=torch.uint8))) == 5


def test_stacked_arrays_whose_channels_come_first_say_so() -> None:
    named = named_images(np.zeros((2, 3, 24, 28), np.uint8))
    with pytest.raises(BrokenImage, match=r"channels seem to come first.*transpose\(1, 2, 0\)"):
        decode_image(named[0][1], SPEC)
