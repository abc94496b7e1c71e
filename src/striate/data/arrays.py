"""Arrays in a NumPy .npz file: images and labels, in one set or as Keras's files divide them."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from striate.data.source import Item, Listing, Source, Split, file_identity, read_arrays
from striate.errors import DataError

ARRAYS = (".npz",)
_SETS: tuple[tuple[str, str, Split | None], ...] = (
    ("images", "labels", None),
    ("x_train", "y_train", "train"),
    ("x_test", "y_test", "test"),
)
_FORM = (
    "Expected the arrays images (N, H, W, 3) or (N, H, W), uint8, and labels (N,); or x_train, "
    "y_train, x_test, y_test as in Keras's files; and perhaps class_names (K,)."
)


class ArraySource(Source):
    """Images and labels in arrays of one .npz file."""

    def __init__(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        self.path = Path(path)
        self.title = title or self.path.stem
        self.origin = str(self.path)
        self._images: dict[str, np.ndarray] = {}

    def fingerprint(self) -> str:
        """A digest of the file's path, size and time of change."""
        return file_identity(self.path)

    def read(self, item: Item, limit: int | None = None) -> np.ndarray:
        """The pixels of one item, (H, W) or (H, W, 3)."""
        name, row = item.key
        if name not in self._images:
            self._images[name] = _images(self.path, name, _load(self.path)[name])
        picture: np.ndarray = self._images[name][row]
        return picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture

    def _list(self) -> Listing:
        arrays = _load(self.path)
        sets = [(x, y, split) for x, y, split in _SETS if x in arrays and y in arrays]
        if not sets:
            raise DataError(f"{self.path} holds {', '.join(arrays) or 'nothing'}. {_FORM}")
        labels = {}
        for x, y, _ in sets:
            self._images[x] = _images(self.path, x, arrays[x])
            labels[x] = _labels(self.path, y, arrays[y], len(self._images[x]))
        names, index = _classes(self.path, labels, arrays.get("class_names"))
        items = []
        for x, _, split in sets:
            digits = len(str(len(labels[x]) - 1))
            items += [
                Item(f"{x}/{row:0{digits}d}", index[label], split, (x, row))
                for row, label in enumerate(labels[x].tolist())
            ]
        return Listing(names, tuple(sorted(items, key=lambda item: item.name)))


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except DataError as error:
        raise DataError(f"{error} {_FORM}") from error


def _images(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))
    if images.dtype != np.uint8 or not fits or images.size == 0:
        first = images.ndim == 4 and not fits and images.shape[1] in (1, 3)
        hint = " Its channels seem to come first; use array.transpose(0, 2, 3, 1)." * first
        raise DataError(
            f"{path}: {name} is {images.dtype} of shape {images.shape}.{hint} Values must be "
            f"whole numbers in 0..255. {_FORM}"
        )
    return images


def _labels(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:  # as Keras has CIFAR
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: {name} is {labels.dtype} of shape {labels.shape} for {count} images; "
            f"accepted: one whole number or one name an image. {_FORM}"
        )
    return labels


def _classes(
    path: Path, labels: Mapping[str, np.ndarray], class_names: np.ndarray | None
) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """Names of the classes, and the class of each value among the labels."""
    values = sorted({value for of_set in labels.values() for value in np.unique(of_set).tolist()})
    if class_names is None:
        if len(values) < 2:
            raise DataError(f"{path} has {len(values)} class(es); a classifier needs two or more.")
        return tuple(map(str, values)), {value: label for label, value in enumerate(values)}
    names = tuple(map(str, class_names.tolist()))
    numbers = all(isinstance(value, int) for value in values)
    index: dict[int | str, int] = {i if numbers else name: i for i, name in enumerate(names)}
    unknown = [value for value in values if value not in index]
    if unknown or len(set(names)) < len(names) or class_names.ndim != 1:
        raise DataError(
            f"{path}: class_names has {len(names)} entries ({len(set(names))} different), and the "
            f"labels {', '.join(map(str, unknown[:5])) or 'fit'}. It must be a list of different "
            "names, one for each label from 0."
        )
    return names, index
