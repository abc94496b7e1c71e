"""Images and masks as people lay them out: one reading of names, for folders and archives."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import open_source
from striate.data.layout import Entry
from striate.data.masked_layout import read_tree
from striate.data.source import Listing
from striate.errors import DataError


def listing_of(names: Iterable[str]) -> Listing:
    return read_tree("photos", [Entry(tuple(name.split("/")), name) for name in names])


def pairs(found: Listing) -> dict[str, str | tuple[str, ...]]:
    """The key of each image's mask, or of several."""
    masks = {item.key: tuple(mask.key for mask in item.files["mask"]) for item in found.items}
    return {key: own[0] if len(own) == 1 else own for key, own in masks.items()}


def side_by_side(images: str, masks: str, *stems: str) -> list[str]:
    return [name for s in stems for name in (f"{images}/{s}.jpg", f"{masks}/{s}.png")]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("Images", "Labels"),
        ("img", "annotations"),
        ("JPEGImages", "SegmentationClass"),
        ("set/v1/images", "set/v1/masks"),
        ("train", "trainannot"),
        ("train", "train_masks"),
        ("images", "images labels"),
    ],
)
def test_sibling_folders_with_equal_stems(images: str, masks: str) -> None:
    found = listing_of(side_by_side(images, masks, "a", "b.2", "deep/er/c"))
    assert found.class_names == ()
    assert found.notes == ()
    assert pairs(found) == {
        f"{images}/{s}.jpg": f"{masks}/{s}.png" for s in ("a", "b.2", "deep/er/c")
    }
    assert [item.columns for item in found.items] == [
        {"mask": item.files["mask"][0].name} for item in found.items
    ]
    assert {item.split for item in found.items} == {"train" if "train" in images else None}


@pytest.mark.parametrize(
    "form",
    [
        ("{split}/images", "{split}/masks"),
        ("images/{split}", "masks/{split}"),
        ("set/{split}/images", "set/{split}/labels"),
        ("{split}", "{split}annot"),
        ("images/{split}/city", "labels/{split}/city"),
    ],
)
def test_splits_above_and_below(form: tuple[str, str]) -> None:
    names = [
        name
        for split in ("train", "val", "test")
        for name in side_by_side(*(f.format(split=split) for f in form), "a", f"in_{split}")
    ]
    found = listing_of(names)
    assert len(found.items) == 6
    for item in found.items:
        word = next(s for s in ("train", "val", "test") if s in item.name.split("/"))
        assert item.split == {"val": "validation"}.get(word, word)
        assert item.files["mask"][0].split == item.split


def test_names_are_those_inside_the_folder_around_everything() -> None:
    names = side_by_side("train/images", "train/masks", "a", "b")
    names += side_by_side("val/images", "val/masks", "c")
    packed = listing_of([f"camvid/{name}" for name in [*names, "classes.txt"]])
    assert [item.name for item in packed.items] == [item.name for item in listing_of(names).items]
    assert [(file.name, file.key) for file in packed.files] == [
        ("classes.txt", "camvid/classes.txt")
    ]


@pytest.mark.parametrize("top", ["", "train/", "stage1/train/"])
def test_one_folder_for_each_image_with_one_object_in_each_mask(top: str) -> None:
    names = [
        *(f"{top}7/images/7.png", f"{top}7/masks/x.png", f"{top}7/masks/y.png"),
        *(f"{top}8/images/8.png", f"{top}8/masks/z.png"),
    ]
    found = listing_of(names)
    assert pairs(found) == {
        f"{top}7/images/7.png": (f"{top}7/masks/x.png", f"{top}7/masks/y.png"),
        f"{top}8/images/8.png": f"{top}8/masks/z.png",
    }
    assert [item.columns["objects"] for item in found.items] == ["2", "1"]


def test_folders_of_one_image_and_one_mask_hold_whole_masks() -> None:
    names = [f"{n}/{kind}/{kind}{n}.png" for n in "789" for kind in ("image", "mask")]
    found = listing_of(names)
    assert pairs(found) == {f"{n}/image/image{n}.png": f"{n}/mask/mask{n}.png" for n in "789"}
    assert all("objects" not in item.columns for item in found.items)


@pytest.mark.parametrize("ending", ["_mask", "_gt", "-label", "_L"])
def test_masks_may_say_so_in_their_names(ending: str) -> None:
    names = [n for s in "abc" for n in (f"images/{s}.jpg", f"masks/{s}{ending}.png")]
    assert pairs(listing_of(names)) == {f"images/{s}.jpg": f"masks/{s}{ending}.png" for s in "abc"}


@pytest.mark.parametrize(
    "names",
    [
        ["images/1.png", "images/2.png", "masks/3.png", "masks/4.png"],
        [
            "images/1.png",
            "images/2.png",
            "images/3.png",
            "masks/3.png",
            "masks/4.png",
            "masks/5.png",
        ],
        ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"],
        ["train/images/1.png", "train/masks/2.png", "test/images/1.png", "test/masks/2.png"],
        ["images/1.png", "labels/2.png"],
    ],
)
def test_two_classes_stay_classes(names: list[str]) -> None:
    found = listing_of(names)
    assert len(found.class_names) == 2
    assert len(found.items) == len(names)
    assert all(item.files is None for item in found.items)


def test_label_files_that_are_no_pictures_pair_nothing() -> None:
    names = [n for s in "abc" for n in (f"cat/{s}.jpg", f"images/{s}.jpg", f"labels/{s}.txt")]
    assert len(listing_of(names).class_names) == 3


def test_images_and_masks_alone_are_named() -> None:
    names = side_by_side("images", "masks", "a", "b", "c")
    found = listing_of([*names, "images/alone.jpg", "masks/lonely.png"])
    assert len(found.items) == 3
    assert found.notes == (
        "1 image(s) without a mask were left out: images/alone.jpg.",
        "1 mask(s) without an image were left out: masks/lonely.png.",
    )


def test_images_outside_the_splits_are_named() -> None:
    names = [*side_by_side("train/images", "train/masks", "a"), *side_by_side("more", "more", "x")]
    names += side_by_side("extra/images", "extra/masks", "b", "c")
    found = listing_of(names)
    assert [item.name for item in found.items] == ["train/images/a.jpg"]
    assert found.notes == (
        "2 image(s) outside the splits were left out: extra/images/b.jpg, extra/images/c.jpg.",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["images/a.jpg", "masks/a.jpg"], r"1 mask\(s\) of photos are JPEG .*masks/a\.jpg.*PNG"),
        (
            ["images/a.jpg", "masks/a.png", "masks/a.tif"],
            r"images/a\.jpg has several masks: masks/a\.png, masks/a\.tif\. Keep one",
        ),
        (
            ["images/a.jpg", "images/a.png", "images/b.png", "masks/a.png", "masks/b.png"],
            r"images/a\.jpg, images/a\.png share the mask masks/a\.png",
        ),
        (side_by_side("val/images", "val/masks", "a", "b"), "none to train on.*train/"),
    ],
)
def test_what_cannot_be_right_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        listing_of(names)


@pytest.mark.parametrize("ending", ["", ".zip", ".tar", ".tar.gz"])
def test_folders_and_archives_give_the_same_items(
    tmp_path: Path, pack: Callable[..., Path], ending: str
) -> None:
    folder = tmp_path / "set"
    for split in ("train", "val"):
        for name in "ab":
            for kind in ("images", "masks"):
                path = folder / split / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                level = ord(name) + (kind == "masks") + 2 * (split == "val")
                Image.fromarray(np.full((3, 4), level, np.uint8)).save(path)
    (folder / "classes.txt").write_text("sky\nroad\n")
    source = open_source(str(pack(folder, ending) if ending else folder))
    assert [item.name for item in source.items] == [
        f"{split}/images/{name}.png" for split in ("train", "val") for name in "ab"
    ]
    assert source.read(source.files[0]) == b"sky\nroad\n"
    contents = dict(source.read_files(source.items, "mask"))
    for row, item in enumerate(source.items):
        (content,) = contents[row]
        assert content == (folder / item.columns["mask"]).read_bytes()
