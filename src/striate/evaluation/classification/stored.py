"""Answers kept in a run's folder: probabilities, truths and the content digests of their images.

An evaluation keeps them, so that runs can be compared afterwards without opening the test split
again. Pictures of wrongly answered images are kept too, small, to show where runs disagree.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate import durable
from striate.data.streamed import Pixels
from striate.errors import RunError

__all__ = ["StoredAnswers", "load_answers", "save_answers", "wrong_pictures"]

Array = npt.NDArray[Any]

_KEY = "striate"
"""Of the description in the file's metadata."""
_MOST_PICTURES = 1000
_LARGEST_SIDE = 96
"""A page shows pictures no larger; a thousand of them in colour are at most 28 MB."""


@dataclass(frozen=True)
class StoredAnswers:
    """Probabilities of a network for the N items of a split, before any calibration."""

    probabilities: npt.NDArray[np.float64]
    """(N, K) as the network gave them."""
    labels: npt.NDArray[np.int64]
    """(N,) index of the true class."""
    digests: tuple[str, ...] = ()
    """Of the images' content; empty in files of older runs."""
    names: tuple[str, ...] = ()
    split: str = "validation"
    split_digest: str | None = None
    """Names the content of the whole split."""
    opening: int | None = None
    """Which opening of the test split they come from."""
    pictures: Mapping[int, Array] = field(default_factory=dict)
    """Place -> small picture (H, W, C), for wrongly answered items."""


def save_answers(path: Path, answers: StoredAnswers) -> None:
    """Write answers into a safetensors file, whole or not at all.

    Args:
        path: of the file.
        answers: to keep.
    """
    from safetensors.numpy import save

    tensors: dict[str, Array] = {
        "probabilities": np.ascontiguousarray(answers.probabilities),
        "labels": np.ascontiguousarray(answers.labels),
    }
    for place, picture in answers.pictures.items():
        tensors[f"picture.{place}"] = np.ascontiguousarray(picture)
    described = {
        "digests": list(answers.digests),
        "names": list(answers.names),
        "split": answers.split,
        "split_digest": answers.split_digest,
        "opening": answers.opening,
    }
    durable.write_bytes(path, save(tensors, {_KEY: json.dumps(described)}))


def load_answers(path: Path) -> StoredAnswers:
    """Answers back from their file; those of older runs have no digests.

    Raises:
        RunError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as reader:
            described = json.loads((reader.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: reader.get_tensor(name) for name in reader.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}. Evaluate the run again.") from error
    return StoredAnswers(
        probabilities=tensors["probabilities"].astype(np.float64),
        labels=tensors["labels"].astype(np.int64),
        digests=tuple(described.get("digests", ())),
        names=tuple(described.get("names", ())),
        split=described.get("split", "validation"),
        split_digest=described.get("split_digest"),
        opening=described.get("opening"),
        pictures={
            int(name.removeprefix("picture.")): value
            for name, value in tensors.items()
            if name.startswith("picture.")
        },
    )


def wrong_pictures(images: Pixels, answers: Array, labels: Array) -> dict[int, Array]:
    """Small pictures of the wrongly answered items, at most a thousand, evenly spread.

    Args:
        images: (N, H, W, C) uint8.
        answers: (N,) index of the class that was answered.
        labels: (N,) index of the true class.
    """
    wrong: Sequence[int] = np.flatnonzero(answers != labels).tolist()
    step = max(1, -(-len(wrong) // _MOST_PICTURES))
    return {place: _small(np.asarray(images[place])) for place in wrong[::step]}


def _small(image: Array) -> Array:
    factor = -(-max(image.shape[:2]) // _LARGEST_SIDE)
    if factor == 1:
        return image
    # Means over squares of pixels: no library, and no aliasing.
    height, width = (side // factor * factor for side in image.shape[:2])
    blocks = image[:height, :width].reshape(
        height // factor, factor, width // factor, factor, image.shape[2]
    )
    small: Array = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return small
