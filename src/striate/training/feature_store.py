"""Features of images that stay in the cache, so that folds and further trainings find them.

cache_dir()/features/KEY.safetensors   rows (N, V, F)
cache_dir()/memo/features-KEY.json     the digest of that file, and those of the images

KEY follows from the weights, the form of the images and the views. An image is known by the digest
of its content. Which images run together changes the last digits of features: so they are kept for
trainings that the clock ends, whose bits do not follow from the command anyway.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate import durable
from striate.config import PredictionConfig, RunConfig
from striate.data import cache
from striate.data.decode import spec_of
from striate.data.part import ImageSet
from striate.digests import file_digest
from striate.errors import StorageError
from striate.folders import cache_dir
from striate.typed_json import encode

__all__ = ["FeatureStore"]

_MOST_BYTES = 2**29
"""Bytes of a file beyond which features are not kept."""
Compute = Callable[[ImageSet], Float[Tensor, "N V F"]]


class FeatureStore:
    """The features of images by one network's weights, in one form.

    Args:
        config: Configuration of a training that starts from weights.
    """

    def __init__(self, config: RunConfig) -> None:
        weights = None if config.pretrained is None else config.pretrained.sha256
        self._what = [weights, spec_of(config.data).to_json(), torch.__version__]

    def holds(self, split: ImageSet, views: PredictionConfig) -> bool:
        """Whether the features of all images of a split are there."""
        path, memo = self._paths(views)
        described = cache.read_memo(memo) if path.is_file() else None
        return described is not None and set(split.digests) <= set(described["images"])

    def features(
        self, split: ImageSet, views: PredictionConfig, compute: Compute
    ) -> Float[Tensor, "N V F"]:
        """The features of a split: those that are kept, and the others computed now and kept.

        Args:
            split: Images.
            views: Views of each.
            compute: Computes the features of some of the images.
        """
        known, rows = self._read(views)
        missing = np.array([i for i, d in enumerate(split.digests) if d not in known], np.int64)
        if len(missing):
            fresh = compute(split if len(missing) == len(split) else split.part(missing))
            first = 0 if rows is None else len(rows)
            rows = fresh if rows is None else torch.cat([rows, fresh])
            for row, index in enumerate(missing.tolist(), start=first):
                known.setdefault(split.digests[index], row)  # equal pictures have equal features
            self._write(views, list(known), rows[torch.tensor(list(known.values()))])
        if rows is None:
            return torch.zeros(0, 1, 0)
        return rows[torch.tensor([known[digest] for digest in split.digests])]

    def _paths(self, views: PredictionConfig) -> tuple[Path, Path]:
        """The file and its memo."""
        memo = cache.memo_path("features", *self._what, encode(views))
        return cache_dir() / "features" / f"{memo.stem}.safetensors", memo

    def _read(self, views: PredictionConfig) -> tuple[dict[str, int], Tensor | None]:
        """Rows by the digests of images; nothing where the file is damaged or not there."""
        from safetensors.torch import load

        path, memo = self._paths(views)
        with suppress(OSError, StorageError):
            described = cache.read_memo(memo)
            if described is not None and described["digest"] == file_digest(path):
                rows = load(path.read_bytes())["rows"]
                return {digest: row for row, digest in enumerate(described["images"])}, rows
        return {}, None

    def _write(self, views: PredictionConfig, digests: list[str], rows: Tensor) -> None:
        """Keep features; a disk that refuses takes nothing from the training."""
        from safetensors.torch import save

        if rows.nbytes > _MOST_BYTES:
            return
        path, memo = self._paths(views)
        with suppress(OSError, StorageError):
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write_bytes(path, save({"rows": rows.contiguous()}))
            cache.write_memo(memo, {"digest": file_digest(path), "images": digests})
