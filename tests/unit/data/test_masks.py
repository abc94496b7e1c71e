"""Masks in every form that people keep them in, down to the last pixel, and what is refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from striate.data import Dataset, open_source, prepare
from striate.data.cache import images_dir
from striate.data.field import Mask, field_from_json
from striate.data.seal import issue
from striate.errors import DataError

SIZE = (20, 24)
SPLITS = ("test", "train", "val")
TURNS = range(2, 9)
WriteSet = Callable[..., Path]


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def write_set(tmp_path: Path, picture: Callable[..., np.ndarray]) -> WriteSet:
    """Write images and masks side by side: arrays, PIL images, or lists of objects."""

    def write(masks: Mapping[str, Any], classes: Any = None, form: str = "png") -> Path:
        folder = tmp_path / "set"
        for number, (name, mask) in enumerate(masks.items()):
            above, _, stem = name.rpartition("/")
            image = folder / above / "images" / f"{stem}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(50 + number, *SIZE)).save(image)
            objects = mask if isinstance(mask, list) else [mask]
            for k, part in enumerate(objects):
                path = folder / above / "masks" / f"{f'{k}_' * (len(objects) > 1)}{stem}.{form}"
                path.parent.mkdir(parents=True, exist_ok=True)
                part = Image.fromarray(part) if isinstance(part, np.ndarray) else part
                part.save(path)
        if classes is not None:
            text = classes if isinstance(classes, str) else json.dumps(classes)
            name = "classes.txt" if isinstance(classes, str) else "classes.json"
            (folder / name).write_text(text)
        return folder

    return write


def field_of(folder: Path, **more: Any) -> Mask:
    return Mask.of(open_source(str(folder)), "mask", **more)


def decoded(folder: Path, config_of: Callable[..., Any], **changed: Any) -> Dataset:
    config = config_of(folder, **{"input_size": SIZE, "leaks": "allow", **changed})
    return prepare(config, fields={"mask": field_of(folder)})


def ids_by_name(data: Dataset) -> dict[str, np.ndarray]:
    splits = (data.train, data.validation, data.test.read(issue(data.test.digest, 1, "")))
    return {
        Path(name).stem: np.array(ids)
        for split in splits
        for name, ids in zip(split.names, split.columns["mask"], strict=True)
    }


def of_ids(draw: np.random.Generator, ids: list[int], count: int = 6) -> dict[str, np.ndarray]:
    return {f"{n}": draw.choice(ids, SIZE) for n in range(count)}


COLOURS = np.array([[0, 0, 0], [128, 64, 0], [0, 0, 192]], np.uint8)


def stored_as(mode: str, ids: np.ndarray) -> Image.Image:
    """Class ids as a file of a mode, written with numpy and Pillow alone."""
    if mode == "P":
        image = Image.fromarray(ids.astype(np.uint8))
        image.putpalette(COLOURS.ravel().tolist())
        return image
    if mode == "RGB":
        return Image.fromarray(COLOURS[ids])
    if mode == "1":
        return Image.fromarray(ids > 0)
    if mode == "RGBA":
        opaque = np.full((*ids.shape, 1), 255, np.uint8)
        return Image.fromarray(np.concatenate([COLOURS[ids], opaque], axis=2))
    if mode == "LA":
        return Image.fromarray(ids.astype(np.uint8)).convert("LA")
    return Image.fromarray(ids.astype(np.uint16 if mode == "I;16" else np.uint8))


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        *(("L", form) for form in ("png", "tif", "bmp", "pgm")),
        *(("P", form) for form in ("png", "gif", "tif")),
        *(("RGB", form) for form in ("png", "ppm")),
        ("1", "png"),
        ("1", "tif"),
        ("I;16", "png"),
        ("I;16", "tif"),
        ("RGBA", "png"),
        ("LA", "png"),
    ],
)
def test_every_mode_gives_its_ids_and_is_written_back(
    write_set: WriteSet,
    draw: np.random.Generator,
    config_of: Callable[..., Any],
    mode: str,
    form: str,
) -> None:
    ids = of_ids(draw, [0, 1] if mode == "1" else [0, 1, 2])
    folder = write_set({name: stored_as(mode, value) for name, value in ids.items()}, form=form)
    data = decoded(folder, config_of)
    field = data.fields["mask"]
    assert isinstance(field, Mask)
    found = ids_by_name(data)
    if mode.startswith("RGB"):  # the order of colours nobody named is that of their numbers
        order = [field.names.index(f"#{r:02x}{g:02x}{b:02x}") for r, g, b in COLOURS.tolist()]
        assert order == [0, 2, 1]
        ids = {name: np.array(order)[value] for name, value in ids.items()}
    for name, value in ids.items():
        np.testing.assert_array_equal(found[name], value)
        path = folder / "masks" / f"{name}.{form}"
        written = field.picture(found[name])
        with Image.open(path) as original:
            np.testing.assert_array_equal(_colours(written), _colours(original))
    assert field_from_json(json.loads(json.dumps(field.to_json()))).to_json() == field.to_json()


def _colours(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return np.asarray(Image.fromarray(np.asarray(image).astype(np.uint16)).convert("RGB"))
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("ids", "names", "stored", "void"),
    [
        ([0, 255], ("background", "object"), (0, 255), ()),
        ([0, 1], ("background", "object"), (0, 1), ()),
        ([0, 1, 255], ("background", "object"), (0, 1), (255,)),
        ([0, 1, 2, 7, 255], ("0", "1", "2", "7"), (0, 1, 2, 7), (255,)),
        ([0, 128, 255], ("0", "128", "255"), (0, 128, 255), ()),
        ([3, 300, 40000], ("3", "300", "40000"), (3, 300, 40000), ()),
    ],
)
def test_classes_without_a_list(
    write_set: WriteSet,
    draw: np.random.Generator,
    ids: list[int],
    names: tuple[str, ...],
    stored: tuple[int, ...],
    void: tuple[int, ...],
) -> None:
    kind = np.uint16 if max(ids) > 255 else np.uint8
    masks = {name: value.astype(kind) for name, value in of_ids(draw, ids, 3).items()}
    field = field_of(write_set(masks))
    assert (field.names, field.stored, field.stored_void) == (names, stored, void)


@pytest.mark.parametrize(
    ("classes", "ids", "names", "stored", "void"),
    [
        ("sky\nroad\ncar\n", [0, 1, 2], ("sky", "road", "car"), (0, 1, 2), ()),
        ("sky\nroad\nvoid\n", [0, 1, 2], ("sky", "road"), (0, 1), (2,)),
        ("sky\nroad\n", [0, 1, 255], ("sky", "road"), (0, 1), (255,)),
        ("7 sky\n9: traffic light\n", [7, 9], ("sky", "traffic light"), (7, 9), ()),
        ("cell\n", [0, 255], ("background", "cell"), (0, 255), ()),
        ("ground\ncell\n", [0, 255], ("ground", "cell"), (0, 255), ()),
        (["sky", "road", "rare"], [0, 1], ("sky", "road", "rare"), (0, 1, 2), ()),
        ({"sky": 7, "Ignore": 9, "car": 8}, [7, 8, 9], ("sky", "car"), (7, 8), (9,)),
        ({"7": "sky", "9": "car"}, [7, 9], ("sky", "car"), (7, 9), ()),
    ],
)
def test_a_list_of_classes(
    write_set: WriteSet,
    draw: np.random.Generator,
    classes: Any,
    ids: list[int],
    names: tuple[str, ...],
    stored: tuple[int, ...],
    void: tuple[int, ...],
) -> None:
    masks = {name: value.astype(np.uint8) for name, value in of_ids(draw, ids, 3).items()}
    field = field_of(write_set(masks, classes))
    assert (field.names, field.stored, field.stored_void) == (names, stored, void)


@pytest.mark.parametrize("mode", ["RGB", "P"])
@pytest.mark.parametrize(
    "classes",
    [
        "0 0 0 ground\n128,64,0,tree\n0 0 192\tVoid\n",
        {"ground": [0, 0, 0], "tree": "#804000", "void": [0, 0, 192]},
    ],
)
def test_a_table_of_colours(
    write_set: WriteSet,
    draw: np.random.Generator,
    config_of: Callable[..., Any],
    mode: str,
    classes: Any,
) -> None:
    ids = of_ids(draw, [0, 1, 2])
    folder = write_set({n: stored_as(mode, value) for n, value in ids.items()}, classes)
    data = decoded(folder, config_of)
    assert data.fields["mask"].names == ("ground", "tree")  # type: ignore[attr-defined]
    for name, value in ids_by_name(data).items():
        np.testing.assert_array_equal(value, np.where(ids[name] == 2, 255, ids[name]))


@pytest.mark.parametrize("void", [[1], ["1"], ["road"], 1, "road"])
def test_void_may_be_said(write_set: WriteSet, draw: np.random.Generator, void: list[Any]) -> None:
    masks = {n: value.astype(np.uint8) for n, value in of_ids(draw, [0, 1, 2], 3).items()}
    field = field_of(write_set(masks, "sky\nroad\ncar\n"), void=void)
    assert (field.names, field.stored, field.stored_void) == (("sky", "car"), (0, 2), (1,))


def test_objects_of_one_file_each_are_united(
    write_set: WriteSet, config_of: Callable[..., Any]
) -> None:
    blocks = np.zeros((3, *SIZE), np.uint8)
    blocks[0, :5, :5], blocks[1, 4:9, 4:9], blocks[2, 15:, 20:] = 255, 7, 1
    masks = {f"{n}/{n}": list(np.roll(blocks, n, axis=2)) for n in range(6)}
    folder = write_set(masks)
    data = decoded(folder, config_of)
    for name, value in ids_by_name(data).items():
        np.testing.assert_array_equal(value, np.roll(blocks, int(name), axis=2).max(axis=0) > 0)
    assert data.fields["mask"].names == ("background", "object")  # type: ignore[attr-defined]
    assert (
        "18 objects, each in a file of its own, were united; 6 pixels belong to several."
        in data.notes
    )
    items = open_source(str(folder)).items
    assert [(item.columns or {})["objects"] for item in items] == ["3"] * 6


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(10, 12), (9, 17), (31, 30), SIZE])
def test_masks_are_fitted_as_their_images(
    write_set: WriteSet, config_of: Callable[..., Any], fit: str, size: tuple[int, int]
) -> None:
    """Images that show their masks: black and white, wide apart, fitted alike."""
    names = [f"{split}/{n}" for split in SPLITS for n in range(3)]
    folder = write_set({name: np.zeros(SIZE, np.uint8) for name in names})
    for n, path in enumerate(sorted(folder.glob("*/images/*"))):
        ids = np.zeros(SIZE, np.uint8)
        ids[n : n + 9, 3 + n : 15] = 1
        Image.fromarray(ids).save(path.parents[1] / "masks" / path.name)
        Image.fromarray(ids * np.uint8(255)).save(path)
    data = decoded(folder, config_of, input_size=size, fit=fit, channels=1)
    assert len(data.train) > 0
    for pixels, ids in zip(data.train.images, data.train.columns["mask"], strict=True):
        grey = pixels[..., 0].astype(int)
        certain = (grey < 40) | (grey > 215)
        assert certain.mean() > 0.7
        bars = ids == 255
        assert bars.any() == (fit == "pad" and size not in (SIZE, (10, 12)))
        assert not grey[bars].any()
        shown = certain & ~bars
        np.testing.assert_array_equal(ids[shown], grey[shown] > 128)


def _with_orientation(pixels: np.ndarray, orientation: int, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("stored", [True, False])
def test_masks_follow_images_that_exif_turns(
    write_set: WriteSet, config_of: Callable[..., Any], orientation: int, stored: bool
) -> None:
    names = [f"{split}/{n}" for split in SPLITS for n in range(3)]
    folder = write_set({name: np.zeros(SIZE, np.uint8) for name in names})
    for n, path in enumerate(sorted(folder.glob("*/images/*"))):
        # The size of a quarter turn tells whether a mask was drawn on the turned image; one in each
        # set tells of the others.
        turn = 6 if path.name == "0.png" else orientation
        ids = np.zeros(SIZE, np.uint8)
        ids[:7, n : n + 5], ids[12:15, 18:] = 1, 1
        path.unlink()
        _with_orientation(ids * np.uint8(255), turn, path.with_suffix(".jpg"))
        upright = np.asarray(ImageOps.exif_transpose(Image.open(path.with_suffix(".jpg"))))
        drawn = ids if stored else (upright > 128).astype(np.uint8)
        Image.fromarray(drawn).save(path.parents[1] / "masks" / path.name)
    data = decoded(folder, config_of, input_size=(30, 30), fit="pad", channels=1)
    assert any("turned with their images" in note for note in data.notes) == stored
    for split in (data.train, data.validation):
        for pixels, ids in zip(split.images, split.columns["mask"], strict=True):
            grey = pixels[..., 0].astype(int)
            shown = ((grey < 40) | (grey > 215)) & (ids != 255)
            np.testing.assert_array_equal(ids[shown], grey[shown] > 128)


def test_a_turn_that_no_size_tells_is_refused(
    write_set: WriteSet, draw: np.random.Generator, picture: Callable[..., np.ndarray]
) -> None:
    masks = {n: value.astype(np.uint8) for n, value in of_ids(draw, [0, 1]).items()}
    folder = write_set(masks)
    (folder / "images" / "3.png").unlink()
    _with_orientation(picture(1, *SIZE), 3, folder / "images" / "3.jpg")
    with pytest.raises(DataError, match=r"images/3\.jpg: EXIF turns it.*save the image upright"):
        field_of(folder)


def test_a_summary_counts_pixels_that_are_not_void() -> None:
    column = np.zeros((3, 4, 5), np.uint8)
    column[0, 0], column[1, :2] = 1, 255
    assert Mask(("a", "b")).summary(column) == "2 classes, the smallest 10.00% of the pixels"
    assert "0.00%" in Mask(("a", "b")).summary(np.full((1, 2, 2), 255))


def test_arrays_hold_masks_and_the_names_of_their_classes(
    tmp_path: Path, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    x = draw.integers(0, 256, (12, *SIZE, 3), np.uint8)
    y = draw.integers(0, 3, (12, *SIZE))
    path = tmp_path / "set.npz"
    np.savez(path, x=x, y=y, class_names=["sky", "road", "void"])
    data = decoded(path, config_of)
    assert data.fields["mask"].names == ("sky", "road")  # type: ignore[attr-defined]
    for name, value in ids_by_name(data).items():
        np.testing.assert_array_equal(value, np.where(y[int(name)] == 2, 255, y[int(name)]))
    y[3] = 70_000
    np.savez(path, x=x, y=y)
    with pytest.raises(DataError, match=r"y/0*3: ids from 70000 to 70000"):
        field_of(path)
    np.savez(path, x=x, y=y > 0)
    assert field_of(path).names == ("background", "object")


def test_palettes_that_differ_are_refused(write_set: WriteSet, draw: np.random.Generator) -> None:
    """Some tools give each file a palette of its own colours: index 1 is not one class."""
    masks = {n: stored_as("P", value) for n, value in of_ids(draw, [0, 1, 2]).items()}
    folder = write_set(masks)
    Image.fromarray(COLOURS[draw.choice([0, 2], SIZE)]).quantize(2).save(folder / "masks" / "4.png")
    with pytest.raises(DataError, match=r"1 mask\(s\) of set.*\n.*4\.png: its palette has other"):
        field_of(folder)
    (folder / "classes.json").write_text(json.dumps({"a": [0, 0, 0], "b": [1, 2, 3]}))
    (folder / "masks" / "4.png").unlink()
    with pytest.raises(DataError, match=r"\[1, 2, 3\], and the masks have no such colour"):
        field_of(folder)


def test_streamed_images_have_their_masks_in_the_cache(
    write_set: WriteSet, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    ids = of_ids(draw, [0, 1, 2])
    folder = write_set({name: value.astype(np.uint8) for name, value in ids.items()})
    found = ids_by_name(decoded(folder, config_of, streaming=True))
    assert found.keys() == ids.keys()
    for name, value in ids.items():
        np.testing.assert_array_equal(found[name], value)


def test_more_classes_than_eight_bits_hold(
    write_set: WriteSet, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    ids = {f"{n}": draw.integers(0, 300, SIZE).astype(np.uint16) for n in range(6)}
    folder = write_set(ids, [f"kind {k}" for k in range(300)])
    data = decoded(folder, config_of, input_size=(20, 30), fit="pad")
    field = data.fields["mask"]
    assert isinstance(field, Mask)
    assert (len(field.names), field.void) == (300, 2**16 - 1)
    for name, value in ids_by_name(data).items():
        assert value.dtype == np.uint16
        np.testing.assert_array_equal(value[:, 3:-3], ids[name])
        assert (value[:, :3] == field.void).all()
        np.testing.assert_array_equal(np.asarray(field.picture(value[:, 3:-3])), ids[name])
    batch = field.collate(data.train.columns["mask"][:2])
    assert batch.dtype == torch.int64
    assert int(batch.max()) == field.void


def test_test_masks_lie_sealed_and_apart(
    write_set: WriteSet, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    masks = {
        f"{split}/{n}{split}": draw.integers(0, 2, SIZE, np.uint8)
        for split in ("train", "val", "test")
        for n in range(3)
    }
    folder = write_set(masks)
    before = decoded(folder, config_of)
    place = next(path for path in images_dir().iterdir() if path.is_dir())
    assert (place / "development" / "mask.array").stat().st_size == 6 * SIZE[0] * SIZE[1]
    assert (place / "test" / "mask.array").stat().st_size == 3 * SIZE[0] * SIZE[1]
    assert isinstance(before.train.columns["mask"], np.memmap)
    small = decoded(folder, config_of, input_size=(5, 6))
    assert (small.digest, small.test.digest) == (before.digest, before.test.digest)
    flipped = 1 - masks["test/1test"]
    Image.fromarray(flipped).save(folder / "test" / "masks" / "1test.png")
    after = decoded(folder, config_of)
    assert after.test.digest != before.test.digest
    np.testing.assert_array_equal(ids_by_name(after)["1test"], flipped)


def test_test_masks_teach_no_classes(
    write_set: WriteSet, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    masks = {
        f"{split}/{n}{split}": draw.choice(ids, SIZE).astype(np.uint8)
        for split, ids in (("train", [0, 1, 2]), ("val", [0, 1]), ("test", [0, 3]))
        for n in range(3)
    }
    folder = write_set(masks)
    assert field_of(folder).names == ("0", "1", "2")
    with pytest.raises(DataError, match=r"test/masks/0test\.png: it holds 3, which"):
        decoded(folder, config_of)


def test_colours_in_test_masks_alone_are_refused(
    write_set: WriteSet, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    masks = {f"{split}/{n}": draw.integers(0, 2, SIZE, np.uint8) for split in SPLITS for n in "ab"}
    folder = write_set(masks)
    Image.new("RGB", SIZE[::-1], (255, 255, 255)).save(folder / "test" / "masks" / "a.png")
    with pytest.raises(DataError, match=r"test/masks/a\.png: it is of the form RGB"):
        decoded(folder, config_of)


def test_a_list_names_masks(
    write_set: WriteSet, draw: np.random.Generator, config_of: Callable[..., Any]
) -> None:
    ids = of_ids(draw, [0, 1, 2])
    folder = write_set({n: value.astype(np.uint8) for n, value in ids.items()}, "a\nb\nc\n")
    rows = "".join(f"images/{n}.png,masks/{n}.png\n" for n in ids)
    (folder / "list.csv").write_text("path,mask\n" + rows)
    data = decoded(folder / "list.csv", config_of)
    assert data.fields["mask"].names == ("a", "b", "c")  # type: ignore[attr-defined]
    for name, value in ids_by_name(data).items():
        np.testing.assert_array_equal(value, ids[name])
    Image.fromarray(2 - ids["2"].astype(np.uint8)).save(folder / "masks" / "2.png")
    changed = ids_by_name(decoded(folder / "list.csv", config_of))
    np.testing.assert_array_equal(changed["2"], 2 - ids["2"])
    for path in (folder / "masks").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"lists 6 files, and they do not exist: masks/0\.png"):
        decoded(folder / "list.csv", config_of)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((24, 20), np.uint8), r"1\.png: 24 × 20, its image 20 × 24"),
        (np.zeros((10, 12), np.uint8), r"1\.png: 10 × 12, its image 20 × 24"),
        (b"", r"1\.png: .*"),
        (b"no picture", r"1\.png: not an image"),
        (np.full(SIZE, 77, np.uint8), r"77 \(16\.67% of the pixels, in 1 of 6 masks\)"),
        (np.full((*SIZE, 4), 100, np.uint8), r"1\.png: partly transparent"),
        (Image.new("F", SIZE[::-1], 0.5), r"1\.png: of the form F; accepted"),
        (Image.new("I", SIZE[::-1], 70000), r"1\.png: ids from 70000 to 70000"),
        (np.zeros((*SIZE, 3), np.uint8), r"masks of several forms: 5 of L, 1 of RGB"),
        (Image.fromarray(np.eye(*SIZE) > 0), r"masks of several forms: 5 of L, 1 of 1"),
        (Image.new("CMYK", SIZE[::-1]), r"1\.png: of the form CMYK"),
    ],
)
def test_masks_that_cannot_be_used_are_named(
    write_set: WriteSet, draw: np.random.Generator, mask: Any, message: str
) -> None:
    masks = {n: value.astype(np.uint8) for n, value in of_ids(draw, [0, 1, 2]).items()}
    folder = write_set(masks, "a\nb\nc\n")
    path = folder / "masks" / "1.png"
    if isinstance(mask, bytes):
        path.write_bytes(mask)
    else:
        mask = Image.fromarray(mask) if isinstance(mask, np.ndarray) else mask
        mask.save(path, format="TIFF" if mask.mode in ("F", "I", "CMYK") else None)
    with pytest.raises(DataError, match=message):
        field_of(folder)


def test_a_jpeg_under_another_name_is_refused(
    write_set: WriteSet, draw: np.random.Generator
) -> None:
    masks = {n: value.astype(np.uint8) for n, value in of_ids(draw, [0, 1, 2]).items()}
    folder = write_set(masks)
    Image.fromarray(masks["1"]).save(folder / "masks" / "1.png", format="JPEG")
    with pytest.raises(DataError, match=r"masks/1\.png: a JPEG file.*PNG"):
        field_of(folder)


def test_ids_that_no_class_has_come_with_the_line_to_type(
    write_set: WriteSet, draw: np.random.Generator
) -> None:
    masks = {n: value.astype(np.uint8) for n, value in of_ids(draw, [0, 1, 2, 9], 3).items()}
    folder = write_set(masks, "a\nb\nc\n")
    with pytest.raises(DataError, match=r"--set 'task\.void=\[9\]'"):
        field_of(folder)
    assert field_of(folder, void=[9]).names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("", "it holds ids beside colours, or nothing"),
        ("sky\nsky\n", "occur twice"),
        ({"sky": 0, "car": [1, 2, 3]}, "ids beside colours"),
        ({"sky": 0, "car": 0}, "occur twice"),
        ({"sky": 0, "car": -1}, "-1 is no id"),
        ({"sky": 0, "car": "blue"}, "'blue' is no id"),
        ({"sky": [0, 0, 0], "car": [9, 9, 9]}, r"the colour \[0, 0, 0\], and the masks have ids"),
    ],
)
def test_lists_of_no_classes(
    write_set: WriteSet, draw: np.random.Generator, classes: Any, message: str
) -> None:
    masks = {n: value.astype(np.uint8) for n, value in of_ids(draw, [0, 1], 3).items()}
    with pytest.raises(DataError, match=message):
        field_of(write_set(masks, classes))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.arange(1, 481, dtype=np.uint16).reshape(SIZE), "479 different ids: numbers of objects"),
        (
            np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8),
            "colours: smoothed edges",
        ),
        (np.full(SIZE, 3, np.uint8), "one class, 3; two are needed"),
    ],
)
def test_numbers_that_are_no_classes(write_set: WriteSet, mask: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        field_of(write_set({"a": mask, "b": mask}))


def test_sources_without_masks_say_what_is_expected(photos: Path, write_set: WriteSet) -> None:
    with pytest.raises(DataError, match=r"no mask of 31 of 31 images.*images/ and masks/"):
        field_of(photos)
    folder = write_set({n: np.eye(*SIZE, dtype=np.uint8) for n in "ab"})
    (folder / "list.csv").write_text("path,mask\nimages/a.png,masks/a.png\nimages/b.png,\n")
    with pytest.raises(DataError, match=r"names no mask of 1 of 2 images: images/b\.png"):
        field_of(folder / "list.csv")
