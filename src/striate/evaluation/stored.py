"""Predictions kept in a run's folder: rows, and the content digests of their images.

An evaluation keeps them, so that runs can be compared afterwards without opening the test split
again. Pictures of some items are kept too, small, to show where runs disagree.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate import digests, durable
from striate.errors import RunError, command_line
from striate.evaluation.metric import Columns
from striate.reading import read_bytes, reported_as

Array = npt.NDArray[Any]

_KEY = "striate"
"""Key of the description in the file's metadata."""
_DESCRIBED = ("digests", "names", "split", "split_digest", "opening")
"""Fields of the description."""
_LARGEST_SIDE = 96
"""A page shows pictures no larger; a thousand of them in colour are at most 28 MB."""


@dataclass(frozen=True)
class Predictions:
    """Rows of the N items of a split, before any calibration."""

    rows: Columns
    """Rows as the task keeps them."""
    digests: tuple[str, ...] = ()
    """Digests of the images' content; empty in files of older runs."""
    names: tuple[str, ...] = ()
    split: str = "validation"
    split_digest: str | None = None
    """Digest of the content of the whole split."""
    opening: int | None = None
    """Number of the opening of the test split that they come from."""
    pictures: Mapping[int, Array] = field(default_factory=dict)
    """Small pictures (H, W, C) of some items, by index."""

    def __len__(self) -> int:
        return len(self.rows)


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions into a safetensors file, whole or not at all.

    Columns of different lengths an item are written end to end beside their lengths.
    """
    from safetensors.numpy import save

    tensors: dict[str, Array] = {}
    for name, column in predictions.rows.columns.items():
        if isinstance(column, np.ndarray):
            tensors[name] = np.ascontiguousarray(column)
        else:
            tensors[name] = np.concatenate([np.asarray(value) for value in column])
            tensors[f"{name}.lengths"] = np.array([len(value) for value in column])
    for index, picture in predictions.pictures.items():
        tensors[f"picture.{index}"] = np.ascontiguousarray(picture)
    described = {key: getattr(predictions, key) for key in _DESCRIBED}
    digests.write_bytes(path, save(tensors, {_KEY: json.dumps(described)}))


def load_predictions(path: Path) -> Predictions:
    """Predictions back from their file; those of older runs have no digests.

    Raises:
        RunError: the file is missing or damaged.
    """
    from safetensors.numpy import load

    command = "evaluate" if path.name == "test.safetensors" else "resume"
    again = f"Make it again: {command_line(command, path.parent)}"
    digests.require(path, again)
    with reported_as(RunError, f"{path} cannot be read", f"Remove it. {again}"):
        content = read_bytes(path)
        described = json.loads(durable.safetensors_metadata(content).get(_KEY, "{}"))
        return _predictions(load(content), described)


def _predictions(tensors: Mapping[str, Array], described: Mapping[str, Any]) -> Predictions:
    columns: dict[str, Any] = {}
    pictures: dict[int, Array] = {}
    for name, value in tensors.items():
        if name.startswith("picture."):
            pictures[int(name.removeprefix("picture."))] = value
        elif not name.endswith(".lengths"):
            lengths = tensors.get(f"{name}.lengths")
            columns[name] = value if lengths is None else np.split(value, lengths.cumsum()[:-1])
    kept = {key: described[key] for key in _DESCRIBED if key in described}
    lists: dict[str, Any] = {key: tuple(kept.pop(key, ())) for key in ("digests", "names")}
    return Predictions(Columns(columns), **lists, **kept, pictures=pictures)


def small_picture(image: Array) -> Array:
    """An image (H, W, C) with sides of at most 96 pixels: means over squares of its pixels."""
    factor = -(-max(image.shape[:2]) // _LARGEST_SIDE)
    if factor == 1:
        return image
    height, width = (side // factor * factor for side in image.shape[:2])
    blocks = image[:height, :width].reshape(
        height // factor, factor, width // factor, factor, image.shape[2]
    )
    small: Array = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return small
