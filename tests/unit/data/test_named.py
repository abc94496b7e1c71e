"""Named sets in the official formats, written small; their files found, checked and read."""

import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from striate.config import DataConfig
from striate.data import NAMED_SETS, open_source, prepare, survey
from striate.data import named as module
from striate.data.record import cifar_names, cifar_records, idx_records
from striate.data.seal import issue
from striate.errors import DataError


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 90 + 20 pictures in MNIST's files, and their checksums in place of its own."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    sums = []
    for split, count in (("train", 90), ("t10k", 20)):
        images = draw.integers(0, 256, (count, 28, 27), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for stem, values in (("images-idx3", images), ("labels-idx1", labels)):
            packed = gzip.compress(idx(values), mtime=0)
            (folder / f"{split}-{stem}-ubyte.gz").write_bytes(packed)
            both = [hashlib.md5(c).hexdigest() for c in (packed, idx(values))]
            sums.append((len(packed), *both))
    monkeypatch.setattr(module, "_MNIST_SUMS", tuple(sums))
    monkeypatch.setenv("STRIATE_DATA", str(folder.parent))
    return folder


def test_a_folder_of_the_same_name_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_source("digits").remarks == ()
    photos.rename(tmp_path / "digits")
    source = open_source("digits")
    assert len(source.class_names) == 10
    assert "It is ./digits" in source.remarks[0]
    assert open_source("./digits").class_names == ("ant", "bee", "cow")
    data = prepare(DataConfig("digits", (8, 8), 1))
    assert data.notes[0] == source.remarks[0]


def test_mnist_from_a_local_folder(small_mnist: Path, config_of) -> None:
    found = survey(open_source("mnist"))
    assert (found.num_images, found.heights[1], found.widths[1]) == (110, 28, 27)
    data = prepare(config_of("mnist", input_size=(28, 27), channels=1))
    assert (data.test_origin, len(data.test)) == ("official", 20)
    assert data.class_names == tuple("0123456789")
    assert data.licence
    with gzip.open(small_mnist / "train-images-idx3-ubyte.gz") as stream:
        raw = np.frombuffer(stream.read()[16:], np.uint8).reshape(90, 28, 27)
    for name, label, pixels in zip(
        data.train.names, data.train.labels, data.train.images, strict=True
    ):
        row = int(name.removeprefix("train/"))
        assert label == row % 10
        np.testing.assert_array_equal(pixels[:, :, 0], raw[row])
    test = data.test.read(issue(data.test.digest, 1, ""))
    assert test.names[7] == "test/00007"


def test_compressed_anew_or_unpacked_is_still_official(small_mnist: Path) -> None:
    for path in sorted(small_mnist.iterdir()):
        content = gzip.decompress(path.read_bytes())
        if "labels" in path.name:
            path.unlink()
            path.with_suffix("").write_bytes(content)
        else:
            path.write_bytes(gzip.compress(content, 1, mtime=7))
    assert len(open_source("mnist").items) == 110


def test_without_a_local_folder_the_files_are_downloaded_once(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(small_mnist))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        files = [
            module.RemoteFile(path.name, base + path.name, None, hashlib.md5(content).hexdigest())
            for path, content in ((path, path.read_bytes()) for path in small_mnist.iterdir())
        ]
        monkeypatch.delenv("STRIATE_DATA")
        first = module._obtain("mnist", files, "none", None)
        server.shutdown()
    assert {name: path.read_bytes() for name, path in first.items()} == {
        path.name: path.read_bytes() for path in small_mnist.iterdir()
    }
    assert module._obtain("mnist", files, "none", None) == first  # the server is gone
    assert all(path.parent.name == "mnist" for path in first.values())


def test_another_content_is_refused(small_mnist: Path) -> None:
    path = small_mnist / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(20, dtype=np.uint8))))
    with pytest.raises(DataError, match="another checksum"):
        _ = open_source("mnist").items
    path.unlink()
    with pytest.raises(DataError, match=r"no t10k-labels-idx1-ubyte\.gz"):
        _ = open_source("mnist").items


def test_a_decoded_set_needs_its_files_no_more(small_mnist: Path, config_of) -> None:
    config = config_of("mnist", channels=1)
    first = prepare(config)
    for path in small_mnist.iterdir():
        path.unlink()
    small_mnist.rmdir()
    assert prepare(config).digest == first.digest


def test_a_copy_in_class_folders_is_named_as_such(photos, tmp_path, monkeypatch, pack) -> None:
    photos.rename(tmp_path / "cifar10")
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    assert open_source("cifar10").title == "cifar10 (copy in cifar10/)"
    packed = pack(tmp_path / "cifar10", ".tar")
    packed.rename(tmp_path / "cifar100.tar")
    source = open_source("cifar100")
    assert source.title == "cifar100 (copy in cifar100.tar)"
    assert "Krizhevsky" in source.licence
    assert len(source.items) == 31


def test_a_bare_name_is_the_set_and_a_path_is_the_folder(photos, monkeypatch) -> None:
    photos.rename(photos.with_name("digits"))
    monkeypatch.chdir(photos.parent)
    assert open_source("digits").licence.startswith("CC BY 4.0")
    assert open_source("./digits").class_names == ("ant", "bee", "cow")


def test_digits(config_of) -> None:
    from sklearn.datasets import load_digits

    data = prepare(config_of("digits", input_size=(8, 8), channels=1))
    assert data.test_origin == "held out"
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    raw = load_digits()
    for name, label, pixels in zip(
        data.train.names, data.train.labels, data.train.images, strict=True
    ):
        row = int(name.removeprefix("all/"))
        assert label == raw.target[row]
        assert np.abs(pixels[:, :, 0] / 255 * 16 - raw.images[row]).max() < 16 / 255


@pytest.mark.parametrize(("label_bytes", "rows"), [(1, [3, 4, 5]), (2, [7, 5])])
def test_cifar_binaries(tmp_path: Path, label_bytes: int, rows: list[int]) -> None:
    draw = np.random.default_rng(1)
    path = tmp_path / "cifar.tar.gz"
    files = [f"part_{n}.bin" for n in range(len(rows))]
    expected = []
    with tarfile.open(path, "w:gz") as archive:
        for name, count in zip(files, rows, strict=True):
            records = draw.integers(0, 10, (count, label_bytes + 3072), dtype=np.uint8)
            expected.append(records)
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = records.size
            archive.addfile(member, io.BytesIO(records.tobytes()))
        member = tarfile.TarInfo("cifar/names.txt")
        member.size = 10
        archive.addfile(member, io.BytesIO(b"ant\nbee\n\n\n"))
    splits = dict.fromkeys(files, "train") | {files[-1]: "test"}
    found = list(cifar_records(path, label_bytes, splits))
    assert [record.split for record in found].count("test") == rows[-1]
    flat = np.concatenate(expected)
    for record, raw in zip(found, flat, strict=True):
        assert record.label == raw[label_bytes - 1]
        planes = raw[label_bytes:].reshape(3, 32, 32)
        np.testing.assert_array_equal(record.pixels[5, 9], planes[:, 5, 9])
        np.testing.assert_array_equal(record.pixels[:, :, 2], planes[2])
    assert cifar_names(path, "names.txt") == ["ant", "bee"]


def test_idx_files_that_are_none(tmp_path: Path) -> None:
    images, labels = tmp_path / "i", tmp_path / "l"
    pictures = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    images.write_bytes(idx(pictures)[:-1])
    labels.write_bytes(idx(np.arange(5, dtype=np.uint8)))
    with pytest.raises(DataError, match="ends after 4 of 5 pictures"):
        list(idx_records("train", images, labels))
    labels.write_bytes(idx(np.arange(6, dtype=np.uint8)))
    with pytest.raises(DataError, match="holds 5 pictures"):
        list(idx_records("train", images, labels))
    with pytest.raises(DataError, match="not an idx file"):
        list(idx_records("train", labels, images))


def test_every_named_set_says_what_it_is() -> None:
    for name in NAMED_SETS:
        assert NAMED_SETS.describe(name).endswith(".") or "classes" in NAMED_SETS.describe(name)
        source = open_source(name)
        assert source.licence
        assert source.title == name
        assert source.fingerprint() == open_source(name).fingerprint()
