"""The forms in which a person may hand over images."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate.data import BrokenImage
from striate.data.array_file import read_arrays
from striate.data.arrays import ARRAYS
from striate.data.folder import walk
from striate.data.picture import is_address, unreadable
from striate.data.source import FILE_LIMIT
from striate.data.spelling import enumerated, json_text, safe_cell, shown, visible
from striate.errors import DataError

STANDARD_INPUT = "-"
"""Name that stands for the bytes of an image on standard input."""

__all__ = [
    "decode_all",
    "json_text",
    "named_images",
    "relative_paths",
    "safe_cell",
    "shown",
    "visible",
]

_NARROW = 8
"""Columns below which a last axis is taken for channels, if there are more rows."""


def named_images(images: Any) -> list[tuple[str, Any]]:
    """(name, image) of everything that a person may hand over.

    Of a folder those files that a training would see; a `BrokenImage` stands for a folder without
    any, and for one that may not be looked into.

    Raises:
        DataError: an empty path, or an array that may be one picture or several.
    """
    if isinstance(images, str) and not images.strip():
        raise DataError(
            "An empty path came, perhaps from a variable of the shell that is not set. Give an "
            "image or a folder of images."
        )
    if isinstance(images, (str, Path)):
        path = Path(images)
        if str(images) == STANDARD_INPUT:
            return [(STANDARD_INPUT, _from_standard_input())]
        if is_address(images):
            return [(str(images), images)]
        if path.suffix.lower() in ARRAYS and os.path.isfile(path):
            return _from_arrays(path)
        return _files(path)
    if isinstance(images, (list, tuple)):
        named = []
        for index, item in enumerate(images):
            for name, image in named_images(item):
                named.append((name if isinstance(item, (str, Path)) else f"image {index}", image))
        return named
    array = _as_array(images)
    if array is None:
        return [("image 0", images)]
    rows = array if _is_stack(array) else array[None]
    return [(f"image {i}", row) for i, row in enumerate(rows)]


def _files(path: Path) -> list[tuple[str, Any]]:
    if not os.path.isdir(path):
        return [(str(path), path)]
    tree = walk(path)
    named: dict[Path, Path | BrokenImage] = {Path(e.key): Path(e.key) for e in tree.files}
    named |= {Path(closed): unreadable(error) for closed, error in tree.unreadable}
    if not named:
        return [(str(path), BrokenImage("the folder holds no files"))]
    return [(str(p), named[p]) for p in sorted(named)]


def _is_stack(array: np.ndarray) -> bool:
    """Whether an array holds several pictures.

    Raises:
        DataError: it may hold one picture or several.
    """
    if array.ndim != 3 or array.shape[-1] in (1, 3, 4):
        return array.ndim == 4
    first, height, width = array.shape
    accepted = "accepted: (H, W), (H, W, 1), (H, W, 3), (H, W, 4), or a number of such, stacked."
    if first in (3, 4):
        raise DataError(
            f"An array of shape {array.shape} may be one picture whose channels come first, or "
            f"{first} grey ones; {accepted} Use array.transpose(1, 2, 0) or array[..., None]."
        )
    if width < min(height, _NARROW):
        raise DataError(
            f"An array of shape {array.shape} seems to be one picture with {width} channels; "
            f"{accepted} If it is {first} grey pictures, use array[..., None]."
        )
    return True


def relative_paths(images: Any, named: list[tuple[str, Any]]) -> list[Path]:
    """The path of each image below the folder that was named, else its file's name, or its name.

    Args:
        images: Images as a person handed them over.
        named: The same images, as `named_images` returns them.
    """
    items = images if isinstance(images, (list, tuple)) else [images]
    folders = [Path(item) for item in items if isinstance(item, (str, Path))]
    paths = []
    for name, image in named:
        if not isinstance(image, (Path, BrokenImage)):
            paths.append(Path(Path(name).name))  # of an array in a file its number
            continue
        image = Path(name)
        above = [folder for folder in folders if folder != image and image.is_relative_to(folder)]
        paths.append(image.relative_to(above[0]) if above else Path(image.name))
    return paths


def decode_all(
    decode: Callable[[Any], np.ndarray], images: Sequence[Any]
) -> list[np.ndarray | BrokenImage]:
    """Images in the form that the network takes, each on a thread, or why they have none."""

    def decoded(image: Any) -> np.ndarray | BrokenImage:
        try:
            return image if isinstance(image, BrokenImage) else decode(image)
        except BrokenImage as error:
            return error

    # Pillow's images read their file when they are used, and several may share one.
    alone = {i: decoded(image) for i, image in enumerate(images) if isinstance(image, Image.Image)}
    with ThreadPoolExecutor(os.cpu_count() or 1, "striate-decode") as pool:
        rest = pool.map(decoded, (image for i, image in enumerate(images) if i not in alone))
        return [alone[i] if i in alone else next(rest) for i in range(len(images))]


def _from_standard_input() -> bytes:
    """The bytes of the image on standard input."""
    content = sys.stdin.buffer.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise DataError(f"More than {FILE_LIMIT // 2**20} MiB came on standard input.")
    return content


def _from_arrays(path: Path) -> list[tuple[str, Any]]:
    """The images of an .npz file, each named by its number in it."""
    try:
        arrays = read_arrays(path)
    except DataError as error:
        return [(str(path), BrokenImage(str(error)))]
    known = [key for key in ("images", "x", "x_test") if key in arrays]
    key = next(iter(known if known or len(arrays) != 1 else arrays), None)
    if key is None:
        reason = (
            f"it holds the arrays {enumerated(list(arrays))}; accepted: images or x, (N, H, W) or "
            "(N, H, W, 3), or one array alone"
        )
        return [(str(path), BrokenImage(reason))]
    return [(f"{path}/{i}", row) for i, (_, row) in enumerate(named_images(arrays[key]))]


def _as_array(images: Any) -> np.ndarray | None:
    """A NumPy array (…, H, W[, C]) of an array or a tensor; None for anything else."""
    if isinstance(images, np.ndarray):
        return images
    if not hasattr(images, "detach"):
        return None
    tensor = images.detach().cpu()
    if tensor.ndim >= 3 and tensor.shape[-3] in (1, 3, 4):
        tensor = tensor.movedim(-3, -1)
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    return np.asarray(tensor)
