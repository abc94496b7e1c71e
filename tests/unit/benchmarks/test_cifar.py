"""What peers are given of CIFAR-10: decoded arrays, mirrored and shifted images, a clock."""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import cifar, environment
from benchmarks.workers.cifar_data import decoded

WORKERS = Path(__file__).parents[3] / "benchmarks" / "workers"


@pytest.fixture
def data(monkeypatch):
    monkeypatch.syspath_prepend(str(WORKERS))
    monkeypatch.delitem(sys.modules, "cifar_data", raising=False)
    import cifar_data

    return cifar_data


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(5)
    np.save(tmp_path / "train.npy", draw.integers(0, 256, (23, 32, 32, 3), dtype=np.uint8))
    np.save(tmp_path / "train_labels.npy", draw.integers(0, 10, 23))
    return tmp_path


def test_batches_are_crops_of_the_mirrored_border_some_of_them_flipped(data, folder):
    images = data.Images(str(folder), 5, seed=1, shift=3)
    pixels, labels = next(images)
    places = []
    for image, label, item in zip(pixels, labels, images.order[:5], strict=True):
        assert label == images.labels[item]
        ends = ((3, 3), (3, 3), (0, 0))
        padded = np.pad(np.load(folder / "train.npy")[item], ends, mode="reflect")
        found = [
            (row, column, flip)
            for row in range(7)
            for column in range(7)
            for flip in (False, True)
            if np.array_equal(
                image, padded[row : row + 32, column : column + 32][:, :: 1 - 2 * flip]
            )
        ]
        assert len(found) == 1
        places += found
    assert len(set(places)) > 1


def test_alternate_mirroring_shows_each_image_once_each_way_in_two_epochs(data, folder):
    images = data.Images(str(folder), 23, seed=1, shift=0, alternate=True)
    seen = {}
    for _ in range(2):
        pixels, _ = next(images)
        for image, item in zip(pixels, images.order, strict=True):
            seen.setdefault(int(item), []).append(image)
    for first, second in seen.values():
        assert np.array_equal(first, second[:, ::-1])
    assert images.epoch == 1


def test_clock_ends_with_the_budget_of_the_command(data, monkeypatch):
    now = [103.0]
    monkeypatch.setattr(data.time, "time", lambda: now[0])
    clock = data.Clock(began=100.0, budget=15.0, closing=2.0)
    assert clock.progress() == 0
    now[0] = 108.0
    assert clock.progress() == pytest.approx(0.5)
    now[0] = 113.0
    assert clock.progress() == 1


def test_an_archive_becomes_arrays_with_classes_in_order(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    source = tmp_path / "set.tar"
    with tarfile.open(source, "w") as archive:
        for number, name in enumerate(("train/dog/0", "train/cat/1", "test/dog/2")):
            file = io.BytesIO()
            Image.new("RGB", (4, 3), (number, 10, 20)).save(file, "png")
            member = tarfile.TarInfo(f"{name}.png")
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)
    folder = cifar.arrays(source)
    assert np.load(folder / "train_labels.npy").tolist() == [1, 0]
    assert np.load(folder / "test_labels.npy").tolist() == [1]
    train = np.load(folder / "train.npy")
    assert train.shape == (2, 3, 4, 3)
    assert train[1, 2, 3].tolist() == [1, 10, 20]
    assert cifar.arrays(source) == folder
    # What a peer decodes within its time is the same.
    pixels, labels = decoded(str(source))
    assert np.array_equal(pixels, train)
    assert labels.tolist() == [1, 0]


def test_a_missing_set_says_how_to_name_it(monkeypatch):
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    with pytest.raises(cifar.MissingDataError, match="--data PATH, or set STRIATE_DATA"):
        cifar.find(None)
    with pytest.raises(cifar.MissingDataError, match="nowhere does not exist"):
        cifar.find("nowhere")
