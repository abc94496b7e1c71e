"""Data sets known by name: read from $STRIATE_DATA or the cache, or downloaded."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from striate.data.archive import ARCHIVES, ArchiveSource
from striate.data.cache import digest_of
from striate.data.download import RemoteFile, download
from striate.data.folder import FolderSource
from striate.data.plane import NUM_POINTS, PLANE_SETS, pixels
from striate.data.record import (
    Record,
    RecordSource,
    cifar_names,
    cifar_records,
    idx_records,
    open_unpacked,
)
from striate.data.source import Progress, Source, Split
from striate.errors import DataError
from striate.folders import cache_dir, data_dir
from striate.registry import Registry

_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Sizes and MD5 of the .gz files as published, and MD5 of what they hold.
_MNIST_SUMS = (
    (9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    (28881, "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    (1648877, "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    (4542, "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
)
_FASHION_SUMS = (
    (26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    (29515, "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
    (4422102, "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
    (5148, "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
)
_FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KRIZ = "https://www.cs.toronto.edu/~kriz/"
_CIFAR_LICENCE = (
    "no licence stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny "
    "Images, 2009"
)


def digits() -> Source:
    """Handwritten digits, 1,797 grey 8×8, ten classes; ships inside scikit-learn."""

    def records() -> Iterator[Record]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        # Counts of black pixels in 4×4 fields: 0..16.
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        for row, (picture, label) in enumerate(zip(pixels, digits.target, strict=True)):
            yield Record(None, row, int(label), picture)

    return RecordSource(
        "digits",
        "digits (scikit-learn's copy of the UCI Optical Recognition of Handwritten Digits)",
        "CC BY 4.0 (E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998)",
        digest_of("digits", "UCI optical digits, test part, 1797"),
        lambda progress: None,
        lambda: [str(n) for n in range(10)],
        records,
    )


def mnist() -> Source:
    """MNIST: handwritten digits, 60,000 + 10,000 grey 28×28, ten classes."""
    base = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    licence = "none stated by its authors (Y. LeCun, C. Cortes, C. Burges); cite LeCun et al. 1998"
    return _idx_set("mnist", base, _MNIST_SUMS, licence, [str(n) for n in range(10)])


def fashion_mnist() -> Source:
    """Fashion-MNIST: articles of clothing, 60,000 + 10,000 grey 28×28, ten classes."""
    base = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    licence = "MIT (Zalando SE, 2017)"
    return _idx_set("fashion-mnist", base, _FASHION_SUMS, licence, _FASHION_NAMES)


def cifar10() -> Source:
    """CIFAR-10: small photographs, 50,000 + 10,000 RGB 32×32, ten classes."""
    name, md5 = "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
    splits: dict[str, Split] = {f"data_batch_{n}.bin": "train" for n in range(1, 6)}
    splits["test_batch.bin"] = "test"
    file = RemoteFile(name, _KRIZ + name, 170052171, md5)
    return _cifar_set("cifar10", file, 1, splits, "batches.meta.txt")


def cifar100() -> Source:
    """CIFAR-100: small photographs, 50,000 + 10,000 RGB 32×32, a hundred classes."""
    name, md5 = "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"
    splits: dict[str, Split] = {"train.bin": "train", "test.bin": "test"}
    file = RemoteFile(name, _KRIZ + name, 168513733, md5)
    return _cifar_set("cifar100", file, 2, splits, "fine_label_names.txt")


def _plane(name: str) -> Callable[[], Source]:
    """The source of a set of points in the plane, drawn as grey images of 1 × 2 pixels."""
    draw = PLANE_SETS[name]

    def source() -> Source:
        def records() -> Iterator[Record]:
            drawn = draw(NUM_POINTS)
            pairs = zip(pixels(drawn.points), drawn.labels.tolist(), strict=True)
            for row, (picture, label) in enumerate(pairs):
                yield Record(None, row, label, picture[..., 0])

        return RecordSource(
            name,
            f"{name}: {NUM_POINTS:,} points in the plane, x and y as the grey levels of two pixels",
            "none needed: drawn by Striate",
            digest_of("plane", f"{name} {NUM_POINTS}"),
            lambda progress: None,
            lambda: draw(1).class_names,
            records,
        )

    source.__doc__ = f"Points in the plane, in two pixels each. {(draw.__doc__ or '').strip()}"
    return source


NAMED_SETS: Registry[Source] = Registry(
    "data set",
    {
        "digits": digits,
        "mnist": mnist,
        "fashion-mnist": fashion_mnist,
        "cifar10": cifar10,
        "cifar100": cifar100,
        **{name: _plane(name) for name in PLANE_SETS},
    },
)


def _idx_set(
    name: str,
    base: str,
    sums: Sequence[tuple[int, str, str]],
    licence: str,
    class_names: Sequence[str],
) -> Source:
    files = [
        RemoteFile(f"{stem}.gz", f"{base}{stem}.gz", *of_file)
        for stem, of_file in zip(_IDX, sums, strict=True)
    ]

    def records(paths: dict[str, Path]) -> Iterator[Record]:
        images, labels, test_images, test_labels = (paths[file.name] for file in files)
        yield from idx_records("train", images, labels)
        yield from idx_records("test", test_images, test_labels)

    return official_set(name, files, licence, lambda paths: class_names, records)


def _cifar_set(
    name: str, file: RemoteFile, label_bytes: int, splits: dict[str, Split], names_member: str
) -> Source:
    return official_set(
        name,
        [file],
        _CIFAR_LICENCE,
        lambda paths: cifar_names(paths[file.name], names_member),
        lambda paths: cifar_records(paths[file.name], label_bytes, splits),
    )


def official_set(
    name: str,
    files: Sequence[RemoteFile],
    licence: str,
    class_names: Callable[[dict[str, Path]], Sequence[str]],
    records: Callable[[dict[str, Path]], Iterator[Record]],
) -> Source:
    """A set of official files, or a copy of it as class folders under $STRIATE_DATA.

    Args:
        name: Name of the set, and of its folder.
        files: All of its official files.
        licence: Terms of the set.
        class_names: Function from the files' paths to the names of the classes.
        records: Function from the files' paths to the pictures.
    """
    paths: dict[str, Path] = {}

    def fetch(progress: Progress | None) -> None:
        if not paths:
            paths.update(_obtain(name, files, licence, progress))

    source = _copy_of(name, files) or RecordSource(
        name,
        f"{name} ({files[0].url.rpartition('/')[0]}/)",
        licence,
        digest_of(name, [file.unpacked_md5 or file.md5 for file in files]),
        fetch,
        lambda: class_names(paths),
        lambda: records(paths),
    )
    source.licence, source.published = licence, True
    return source


def _forms(folder: Path, file: RemoteFile) -> list[Path]:
    """The official file, and the same decompressed where only the compression is taken off."""
    plain = [folder / file.name.removesuffix(".gz")] if file.unpacked_md5 else []
    return [path for path in (folder / file.name, *plain) if path.is_file()]


def _copy_of(name: str, files: Sequence[RemoteFile]) -> Source | None:
    """A copy in class folders, packed or not, that somebody put under $STRIATE_DATA."""
    root = data_dir()
    if root is None:
        return None
    if (root / name).is_dir() and not any(_forms(root / name, file) for file in files):
        return FolderSource(root / name, f"{name} (copy in {name}/)")
    archives = (root / f"{name}{ending}" for ending in ARCHIVES)
    archive = next(filter(Path.is_file, archives), None)
    return ArchiveSource(archive, f"{name} (copy in {archive.name})") if archive else None


def _obtain(
    name: str, files: Sequence[RemoteFile], licence: str, progress: Progress | None
) -> dict[str, Path]:
    """Paths of the official files: under $STRIATE_DATA, or downloaded into the cache."""
    root = data_dir()
    if root is not None and (root / name).is_dir():
        return {file.name: _verified(root / name, file) for file in files}
    downloads = cache_dir() / "downloads" / name
    what = f"downloading {name}: {{}} (licence: {licence})"
    return {
        file.name: download(file, downloads, what.format(file.name), progress) for file in files
    }


def _verified(folder: Path, file: RemoteFile) -> Path:
    """The file in `folder`, its content compared with the published checksums."""
    path = next(iter(_forms(folder, file)), None)
    if path is None:
        raise DataError(
            f"{folder} holds some official files but no {file.name}. Put it there "
            f"({file.url}), or take the folder away to have all of them downloaded."
        )
    if path.name == file.name and file.matches(path):
        return path
    # The same content in another compression is as good.
    if file.unpacked_md5 is None or _unpacked_md5(path) != file.unpacked_md5:
        raise DataError(
            f"{path} is not the official file: its content has another checksum. Replace it by "
            f"{file.url}, or take the folder {folder} away to have it downloaded."
        )
    return path


def _unpacked_md5(path: Path) -> str | None:
    with suppress(OSError, EOFError, zlib.error), open_unpacked(path) as stream:
        return hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    return None
