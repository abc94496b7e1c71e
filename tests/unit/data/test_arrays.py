"""Arrays in an .npz file as a source."""

from pathlib import Path

import numpy as np
import pytest

import striate
from striate.config import DataConfig
from striate.data import ImageSpec, open_source, prepare
from striate.data.arrays import store_arrays
from striate.errors import DataError, InputError
from striate.registry import Pick
from striate.tasks import TASKS, recognised

DRAW = np.random.default_rng(11)
PIXELS = DRAW.integers(0, 256, (37, 5, 7, 3), dtype=np.uint8)
LABELS = np.arange(37) % 3 + 4


def saved(folder: Path, **arrays: np.ndarray) -> str:
    np.savez_compressed(folder / "set.npz", **arrays)
    return str(folder / "set.npz")


def test_images_and_labels_without_splits(tmp_path: Path) -> None:
    source = open_source(saved(tmp_path, images=PIXELS, labels=LABELS))
    assert source.title == "set"
    assert source.class_names == ("4", "5", "6")
    assert [item.label for item in source.items] == [n % 3 for n in range(37)]
    assert {item.split for item in source.items} == {None}
    again = open_source(str(tmp_path / "set.npz"))
    assert again.fingerprint() == source.fingerprint()
    item = source.items[19]
    assert np.array_equal(again.read(item), PIXELS[19])
    assert item.name == "images/19"


def test_the_splits_of_keras(tmp_path: Path) -> None:
    grey = PIXELS[..., 1]
    path = saved(
        tmp_path,
        x_train=grey[:30],
        y_train=LABELS[:30, None] - 4,
        x_test=grey[30:, :, :, None],
        y_test=LABELS[30:] - 4,
        class_names=np.array(["elm", "oak", "ash"]),
    )
    source = open_source(path)
    assert source.class_names == ("elm", "oak", "ash")
    data = prepare(DataConfig(path, (5, 7), 1))
    assert data.test_origin == "official"
    assert (len(data.train) + len(data.validation), len(data.test)) == (30, 7)
    row = int(data.train.names[0].partition("/")[2])
    assert np.array_equal(data.train.images[0, :, :, 0], grey[row])
    assert data.train.labels[0] == LABELS[row] - 4


def test_names_as_labels(tmp_path: Path) -> None:
    words = np.array(["oak", "elm"])[np.arange(37) % 2]
    source = open_source(saved(tmp_path, images=PIXELS, labels=words))
    assert source.class_names == ("elm", "oak")
    assert source.items[0].label == 1
    named = saved(tmp_path, images=PIXELS, labels=words, class_names=np.array(["oak", "elm"]))
    assert open_source(named).items[0].label == 0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": PIXELS}, "holds pixels. Expected the arrays images"),
        ({"images": PIXELS.transpose(0, 3, 1, 2), "labels": LABELS}, r"transpose\(0, 2, 3, 1\)"),
        ({"images": PIXELS / 255, "labels": LABELS}, r"images is float64 .*0\.\.255"),
        ({"images": PIXELS, "labels": LABELS[:36]}, r"labels is int64 of shape \(36,\) for 37"),
        ({"images": PIXELS, "labels": LABELS * 0}, "1 class"),
        (
            {"images": PIXELS, "labels": LABELS, "class_names": np.array(["a", "b", "c"])},
            "class_names has 3 entries.*4, 5, 6",
        ),
        ({"images": PIXELS, "labels": np.array([{}] * 37)}, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _ = open_source(saved(tmp_path, **arrays)).items


def test_a_torn_file_is_told(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, images=PIXELS, labels=LABELS))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match="cannot be read"):
        _ = open_source(str(path)).class_names


def test_a_single_array_under_the_name_of_several_is_told(tmp_path: Path) -> None:
    with open(tmp_path / "one.npz", "wb") as stream:
        np.save(stream, PIXELS)
    with pytest.raises(DataError, match=r"cannot be read as an \.npz file.*Expected the arrays"):
        _ = open_source(str(tmp_path / "one.npz")).class_names


def test_x_and_y_with_a_test_set(tmp_path: Path) -> None:
    path = saved(tmp_path, x=PIXELS[:30], y=LABELS[:30], x_test=PIXELS[30:], y_test=LABELS[30:])
    source = open_source(path)
    assert source.class_names == ("4", "5", "6")
    assert [item.split for item in source.items] == ["train"] * 30 + ["test"] * 7
    alone = open_source(saved(tmp_path, x=PIXELS, y=LABELS))
    assert {item.split for item in alone.items} == {None}


def values_of(path: str) -> tuple[str, object]:
    """The task that claims the file, and the values of its field."""
    source = open_source(path)
    claim = recognised(source)
    assert claim is not None
    task = TASKS.build(Pick(claim[0]))
    (name,) = [need for need in task.needs if need != "image"]
    field = task.fields(source)[name]
    loaded = field.load(source, source.items, ImageSpec((5, 7), 3), Path(path).with_suffix(".m"))
    return claim[0], np.asarray(loaded.column)


def test_tables_of_0_and_1_are_labels(tmp_path: Path) -> None:
    table = DRAW.integers(0, 2, (37, 3))
    names = np.array(["oak", "elm", "ash"])
    for y in (table, table.astype(bool), table.astype(np.float32)):
        path = saved(tmp_path, x=PIXELS, y=y, class_names=names)
        task, values = values_of(path)
        assert task == "labels"
        np.testing.assert_array_equal(values, table)
    assert open_source(path).notes == ()
    holed = table.astype(float)
    holed[3, 1] = np.nan
    assert values_of(saved(tmp_path, x=PIXELS, y=holed))[1][3, 1] == -1  # type: ignore[index]
    one_hot = saved(tmp_path, x=PIXELS, y=np.eye(3)[np.arange(37) % 3])
    assert "y.argmax(axis=1)" in open_source(one_hot).notes[0]


def test_other_numbers_are_values(tmp_path: Path) -> None:
    y = DRAW.normal(size=(37, 2))
    task, values = values_of(saved(tmp_path, x=PIXELS, y=y))
    assert task == "regression"
    np.testing.assert_array_equal(values, y)
    single = DRAW.normal(size=37)
    np.testing.assert_array_equal(
        values_of(saved(tmp_path, x=PIXELS, y=single))[1], single[:, None]
    )


def test_arrays_as_large_as_the_images_are_masks(tmp_path: Path) -> None:
    y = DRAW.integers(0, 3, (37, 5, 7)).astype(np.uint8)
    task, values = values_of(saved(tmp_path, x=PIXELS, y=y))
    assert task == "segmentation"
    np.testing.assert_array_equal(values, y)


def test_arrays_from_python_are_kept_in_one_file(tmp_path: Path) -> None:
    path = store_arrays((PIXELS, LABELS), tmp_path)
    assert store_arrays({"x": PIXELS, "y": LABELS}, tmp_path) == path
    assert store_arrays((PIXELS, LABELS[::-1]), tmp_path) != path
    assert open_source(str(path)).class_names == ("4", "5", "6")
    halves = store_arrays((PIXELS[:30], LABELS[:30], PIXELS[30:], LABELS[30:]), tmp_path)
    assert sum(item.split == "test" for item in open_source(str(halves)).items) == 7
    with pytest.raises(InputError, match=r"accepted: a path or a name, \(x, y\)"):
        store_arrays((PIXELS,), tmp_path)
    before = len(list(tmp_path.iterdir()))
    with pytest.raises(DataError, match="x is float64"):
        store_arrays((PIXELS / 255, LABELS), tmp_path)
    assert len(list(tmp_path.iterdir())) == before
    with pytest.raises(InputError, match="y: no arrays of numbers"):
        store_arrays((PIXELS, [{}] * 37), tmp_path)


def test_the_public_names_are_listed() -> None:
    assert {"train", "evaluate", "load", "Run"} <= set(dir(striate))
    assert all(hasattr(striate, name) for name in dir(striate))
