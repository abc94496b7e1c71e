"""The forms in which a person may hand over images."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate.data import BrokenImage
from striate.data.spelling import shown
from striate.errors import DataError

__all__ = ["decode_all", "named_images", "relative_paths", "shown"]


def named_images(images: Any) -> list[tuple[str, Any]]:
    """(name, image) of everything that a person may hand over."""
    if isinstance(images, (str, Path)):
        path = Path(images)
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
        if not files:
            raise DataError(f"{path} holds no files; give an image or a folder of images.")
        return [(str(p), p) for p in files]
    if isinstance(images, (list, tuple)):
        named = []
        for index, item in enumerate(images):
            for name, image in named_images(item):
                named.append((name if isinstance(item, (str, Path)) else f"image {index}", image))
        return named
    array = _as_array(images)
    if array is None:
        return [("image 0", images)]
    stacked = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4))
    rows = array if stacked else array[None]
    return [(f"image {i}", row) for i, row in enumerate(rows)]


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
        if not isinstance(image, Path):
            paths.append(Path(name))
            continue
        above = [folder for folder in folders if folder != image and image.is_relative_to(folder)]
        paths.append(image.relative_to(above[0]) if above else Path(image.name))
    return paths


def decode_all(
    decode: Callable[[Any], np.ndarray], images: Sequence[Any]
) -> list[np.ndarray | BrokenImage]:
    """Images in the form that the network takes, each on a thread, or why they have none."""

    def decoded(image: Any) -> np.ndarray | BrokenImage:
        try:
            return decode(image)
        except BrokenImage as error:
            return error

    # Pillow's images read their file when they are used, and several may share one.
    alone = {i: decoded(image) for i, image in enumerate(images) if isinstance(image, Image.Image)}
    with ThreadPoolExecutor(os.cpu_count() or 1, "striate-decode") as pool:
        rest = pool.map(decoded, (image for i, image in enumerate(images) if i not in alone))
        return [alone[i] if i in alone else next(rest) for i in range(len(images))]


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
