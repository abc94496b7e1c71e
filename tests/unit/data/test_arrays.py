"""Arrays in an .npz file as a source."""

from pathlib import Path

import numpy as np
import pytest

from striate.config import DataConfig
from striate.data import open_source, prepare
from striate.errors import DataError

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
