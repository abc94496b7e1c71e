"""Arrays in a NumPy .npz file: images and targets, in one set or as Keras's files divide them.

Whole numbers and names are classes, other numbers are values, tables of 0 and 1 are labels, and
arrays as high and wide as the images are masks.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from striate import durable
from striate.data.array_file import read_arrays
from striate.data.source import ITEM_BYTES, Item, Listing, Source, Split, file_identity
from striate.data.targets import read_targets
from striate.errors import DataError, InputError
from striate.memory import require_memory

ARRAYS = (".npz",)
_SETS: tuple[tuple[str, str, Split | None], ...] = (
    ("images", "labels", None),
    ("x", "y", None),
    ("x_train", "y_train", "train"),
    ("x_val", "y_val", "validation"),
    ("x_test", "y_test", "test"),
)
_IMAGES = {x for x, _, _ in _SETS}
_FORM = (
    "Expected the arrays images (N, H, W, 3) or (N, H, W), uint8, and labels (N,); or x and y; or "
    "x_train, y_train, x_test, y_test as in Keras's files; and perhaps class_names (K,). Whole "
    "numbers or names (N,) are classes, other numbers (N,) or (N, T) values, tables of 0 and 1 "
    "(N, K) labels, whole numbers (N, H, W) masks."
)


class ArraySource(Source):
    """Images and labels in arrays of one .npz file."""

    def __init__(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        self.path = Path(path)
        self.title = title or self.path.stem
        self.origin = str(self.path)
        self._arrays: dict[str, np.ndarray] = {}

    def fingerprint(self) -> str:
        """A digest of the file's path and state, see `file_state`."""
        return file_identity(self.path)

    def read(self, item: Item, limit: int | None = None) -> bytes | np.ndarray:
        """The pixels of one item, (H, W) or (H, W, 3); names of classes as a JSON list."""
        name, row = item.key
        if name == "class_names":
            return json.dumps(_load(self.path)[name].tolist()).encode()
        if name not in self._arrays:
            arrays = _load(self.path)
            self._arrays[name] = arrays[name]
            if name in _IMAGES:
                _check_images(self.path, name, arrays[name])
        picture: np.ndarray = self._arrays[name][row]
        return picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture

    def _list(self) -> Listing:
        arrays = _load(self.path)
        sets = [(x, y, split) for x, y, split in _SETS if x in arrays and y in arrays]
        if not sets:
            raise DataError(f"{self.path} holds {', '.join(arrays) or 'nothing'}. {_FORM}")
        self._arrays = arrays
        for x, _, _ in sets:
            _check_images(self.path, x, arrays[x])
        num_images = sum(len(arrays[x]) for x, _, _ in sets)
        require_memory(ITEM_BYTES * num_images, f"Listing the images of {self.path}")
        pairs = [(x, y) for x, y, _ in sets]
        targets = read_targets(self.path, arrays, pairs, _FORM)
        items = []
        for (x, _, split), of_set in zip(sets, targets.items, strict=True):
            # With a test set of its own, all else is for training.
            named = "train" if split is None and "x_test" in arrays else split
            digits = len(str(len(of_set) - 1))
            items += [
                target._replace(name=f"{x}/{row:0{digits}d}", split=named, key=(x, row))
                for row, target in enumerate(of_set)
            ]
        items.sort(key=lambda item: item.name)
        masked = "class_names" in arrays and any(item.files for item in items)
        described_by = [Item("class_names.json", 0, None, ("class_names", 0))] if masked else []
        return Listing(targets.class_names, tuple(items), targets.notes, tuple(described_by))


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except DataError as error:
        raise DataError(f"{error} {_FORM}") from error


def _check_images(path: Path, name: str, images: np.ndarray) -> None:
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))
    if images.dtype != np.uint8 or not fits or images.size == 0:
        first = images.ndim == 4 and not fits and images.shape[1] in (1, 3)
        hint = " Its channels seem to come first; use array.transpose(0, 2, 3, 1)." * first
        raise DataError(
            f"{path}: {name} is {images.dtype} of shape {images.shape}.{hint} Values must be "
            f"whole numbers in 0..255. {_FORM}"
        )


def store_arrays(data: Any, folder: Path) -> Path:
    """The path of an .npz file with arrays that came from Python; equal arrays have one file.

    Args:
        data: (x, y), (x, y, x_test, y_test), or arrays by the names that a file has.
        folder: Folder of the file.

    Raises:
        InputError: neither arrays by name nor two or four of them.
    """
    if not isinstance(data, Mapping):
        pairs = list(data) if isinstance(data, (tuple, list)) else []
        if len(pairs) not in (2, 4):
            raise InputError(
                f"{type(data).__name__} is no set of images; accepted: a path or a name, (x, y), "
                '(x, y, x_test, y_test), or arrays by name: {"x": ..., "y": ...}.'
            )
        data = dict(zip(("x", "y", "x_test", "y_test"), pairs, strict=False))
    arrays: dict[str, Any] = {
        name: np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        for name, value in data.items()
    }
    if objects := [name for name, array in arrays.items() if array.dtype == object]:
        raise InputError(f"{', '.join(objects)}: no arrays of numbers or names of equal lengths.")
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    path = folder / f"arrays-{digest.hexdigest()[:12]}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        durable.write_with(path, lambda stream: np.savez(stream, **arrays))
        try:
            ArraySource(path).items  # noqa: B018 - arrays that do not fit leave no file
        except DataError:
            path.unlink()
            raise
    return path
