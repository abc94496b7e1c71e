"""Features of the training images, kept in a file, and which of them are nearest to an image's."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from striate import digests, durable
from striate.errors import ConfigError, RunError
from striate.reading import read_bytes, reported_as
from striate.seeing.feature import Images, features
from striate.seeing.twin import twin

__all__ = [
    "FeatureIndex",
    "Neighbours",
    "build_index",
    "load_index",
    "nearest",
    "save_index",
    "weights_digest",
]

_FORMAT = 1
_KEY = "striate"
"""Key of the description in the file's metadata."""
_ROWS, _QUERIES = 65_536, 256
"""Rows of the index, and images, that are compared at once: 64 MiB of similarities."""


@dataclass(frozen=True)
class FeatureIndex:
    """Features of the N training images of a network."""

    features: Float[Tensor, "N F"]
    """Of length 1, as float16: half the bytes, and similarities that differ by some 0.0001."""
    names: tuple[str, ...]
    labels: tuple[str, ...]
    """The labels as they are shown: names of classes, or whatever a task has."""
    weights: str
    """Digest of the network's weights."""
    layer: str | None = None
    """Layer whose features they are, as `features` takes it."""
    held_out: Float[Tensor, "M"] = field(default_factory=lambda: torch.zeros(0))
    """How unlike the training images some images are that were not trained on, in rising order; see
    `calibrated`."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its tensors, names and labels, on the disk and in memory, about."""
        tensors = (self.features, self.held_out)
        texts = (self.names, self.labels)
        return sum(t.nbytes for t in tensors) + sum(len(json.dumps(text)) for text in texts)


class Neighbours(NamedTuple):
    """The training images nearest to each of B images, the nearest first."""

    similarities: Float[Tensor, "B k"]
    """Cosine of the angle between the features: 1 for equal directions."""
    rows: Int[Tensor, "B k"]
    """Rows of the index."""


def build_index(
    network: nn.Module,
    images: Images,
    names: Sequence[str],
    labels: Sequence[str],
    layer: str | None = None,
) -> FeatureIndex:
    """The index of a network's training images.

    Args:
        network: Any module; left as it is.
        images: Training images as the network takes them, without augmentation, or batches.
        names: Name of each image.
        labels: Label of each image, as it is shown.
        layer: Layer whose features are kept; None: the input of the head.

    Raises:
        ConfigError: a layer that does not exist, features that are not finite, or other numbers of
            names and labels than of images.
    """
    rows = features(network, images, layer)
    if not len(rows) == len(names) == len(labels):
        raise ConfigError(
            f"{len(rows)} images came with {len(names)} names and {len(labels)} labels."
        )
    return FeatureIndex(
        _of_length_one(rows).half(), tuple(names), tuple(labels), weights_digest(network), layer
    )


def nearest(index: FeatureIndex, features: Float[Tensor, "B F"], k: int = 5) -> Neighbours:
    """The training images whose features have the most similar directions.

    Args:
        index: Features of the training images.
        features: Features of the images in question, at the layer of the index, of any length.
        k: Number of neighbours; all N where there are fewer.

    Raises:
        ConfigError: features of another size or that are not finite, or k below 1.

    Example:
        >>> index = FeatureIndex(torch.eye(3).half(), ("a", "b", "c"), ("0", "1", "1"), "")
        >>> nearest(index, torch.tensor([[0.0, 4.0, 3.0]]), k=2).rows.tolist()
        [[1, 2]]
    """
    if k < 1:
        raise ConfigError(f"k={k} must be 1 or more.")
    if features.ndim != 2 or features.shape[1] != index.features.shape[1]:
        raise ConfigError(
            f"Features {tuple(features.shape)} cannot be compared with {index.features.shape[1]} "
            "of each training image. Take those of the index's layer."
        )
    queries = _of_length_one(features.cpu())
    found = [_nearest(index.features, some, k) for some in torch.split(queries, _QUERIES)]
    similarities, rows = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Neighbours(similarities, rows)


def _nearest(rows: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, where = queries.new_zeros(len(queries), 0), torch.zeros(len(queries), 0, dtype=torch.long)
    for start in range(0, len(rows), _ROWS):
        block = queries @ rows[start : start + _ROWS].float().T
        values, columns = block.topk(min(k, block.shape[1]))
        best, where = torch.cat([best, values], 1), torch.cat([where, columns + start], 1)
        best, order = best.sort(dim=1, descending=True, stable=True)
        best, where = best[:, :k], where.gather(1, order)[:, :k]
    return best, where


def _of_length_one(rows: Tensor) -> Tensor:
    """Rows of length 1; one of zeros stays, and is like nothing."""
    if not bool(torch.isfinite(rows).all()):
        raise ConfigError("The features hold values that are not finite numbers.")
    # By the largest value first, so that no square leaves the range of the numbers.
    largest = rows.float().abs().amax(1, keepdim=True)
    return F.normalize(rows.float() / torch.where(largest > 0, largest, 1.0), dim=1)


def weights_digest(network: nn.Module) -> str:
    """Digest of a network's parameters and buffers, whatever runs them: BLAKE2b, 128 bits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(twin(network).state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        plain = tensor.detach().cpu().contiguous().flatten()
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_index(path: Path, index: FeatureIndex) -> None:
    """Write an index into a safetensors file, whole or not at all, and its digest beside it."""
    from safetensors.torch import save

    described = {"format": _FORMAT, "weights": index.weights, "layer": index.layer}
    tensors = {
        "features": index.features.contiguous(),
        "held_out": index.held_out.contiguous(),
        # The header of such a file may not be long enough for them.
        "names": _as_bytes(index.names),
        "labels": _as_bytes(index.labels),
    }
    digests.write_bytes(path, save(tensors, {_KEY: json.dumps(described)}))


def load_index(path: Path, network: nn.Module) -> FeatureIndex:
    """The index of a network back from its file.

    Args:
        path: File that `save_index` wrote.
        network: The network whose training images it must describe.

    Raises:
        RunError: the file is missing or damaged, or the index of other weights.
        MemoryLimitError: it is larger than the limit.
    """
    from safetensors.torch import load

    remedy = "Remove it and make it again."
    digests.require(path, remedy)
    with reported_as(RunError, f"{path} cannot be read", remedy):
        content = read_bytes(path)
        described = json.loads(durable.safetensors_metadata(content)[_KEY])
        if described["format"] != _FORMAT:
            raise ValueError(f"it has format {described['format']}, and {_FORMAT} is known")
        index = _index(load(content), described)
    if index.weights != weights_digest(network):
        raise RunError(
            f"{path} describes images by other weights than those of the network, so that nothing "
            f"in it can be compared. {remedy}"
        )
    return index


def _index(tensors: dict[str, Tensor], described: dict[str, Any]) -> FeatureIndex:
    """The index of a file's content.

    Raises:
        ValueError: tensors that do not fit each other.
    """
    rows, held_out = tensors["features"], tensors["held_out"]
    names, labels = (_from_bytes(tensors[key]) for key in ("names", "labels"))
    fits = rows.ndim == 2 and held_out.ndim == 1 and len(rows) == len(names) == len(labels) > 0
    is_finite = bool(torch.isfinite(rows).all()) and bool(torch.isfinite(held_out).all())
    if not (fits and is_finite and bool((held_out.diff() >= 0).all())):
        raise ValueError("its tensors do not fit each other")
    return FeatureIndex(
        rows, names, labels, str(described["weights"]), described["layer"], held_out
    )


def _as_bytes(texts: Sequence[str]) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(list(texts)).encode()), dtype=torch.uint8)


def _from_bytes(content: Tensor) -> tuple[str, ...]:
    return tuple(str(text) for text in json.loads(content.numpy().tobytes()))
