"""Images that are decoded whenever they are read, for sets whose decoded form no disk holds.

They stand where the memory-mapped cache stands: the same rows, the same pixels. Each read decodes
on all cores; nothing is kept.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from striate.data.chosen import ChosenImages
from striate.data.decode import ImageSpec, decode_image, decode_with_digest
from striate.data.picture import BrokenImage
from striate.data.source import Item
from striate.data.spelling import shown
from striate.errors import DataError
from striate.memory import in_flight

# Images that wait to be mixed: a few seconds of reading ahead on a disk, and enough of them that
# neighbours in a shard do not meet in one batch.
_MIXED = 4096
# One task decodes so many images, as handing over costs little beside that.
_PER_TASK = 8


@dataclass(eq=False, repr=False)
class StreamedImages:
    """Images (N, H, W, C), uint8, read from their source by position."""

    dtype = np.dtype(np.uint8)
    ndim = 4
    read: Callable[[Item], bytes | np.ndarray]
    """Function that reads the bytes or the pixels of an item; called on several threads."""
    items: Sequence[Item]
    """Item of each row."""
    spec: ImageSpec
    digests: Sequence[str] | None = None
    """Digests of the items when the set was scanned; None: not compared."""
    shards: np.ndarray | None = None
    """For each row the number of the file that it lies in, so that an epoch reads one after the
    other; None: each lies alone, and rows are read in any order."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, H, W, C."""
        return (len(self.items), *self.spec.shape)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: "int | slice | np.integer | np.ndarray") -> np.ndarray:
        """The decoded rows: (H, W, C) for a number, else (B, H, W, C).

        Raises:
            DataError: one cannot be read any more, or (where digests are compared) was changed.
        """
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return self._decode(int(chosen))
        images = np.empty((len(chosen), *self.shape[1:]), dtype=np.uint8)

        def fill(start: int) -> None:
            for i in range(start, min(start + _PER_TASK, len(chosen))):
                images[i] = self._decode(int(chosen[i]))

        # Reading in the order of the files is left to the system, which reads ahead.
        list(self._pool.map(fill, range(0, len(chosen), _PER_TASK)))
        return images

    def part(self, rows: np.ndarray) -> "StreamedImages":
        """Some of the rows, not decoded yet."""
        return replace(
            self,
            items=[self.items[row] for row in rows],
            digests=None if self.digests is None else [self.digests[row] for row in rows],
            shards=None if self.shards is None else self.shards[rows],
        )

    def sample(self, most: int) -> np.ndarray:
        """Decoded images at even distances, `most` at the most."""
        count = min(most, len(self))
        return self[np.linspace(0, len(self) - 1, count).round().astype(np.int64)]

    def order(self, generator: torch.Generator) -> np.ndarray:
        """The rows in an order drawn for one epoch.

        Shards follow each other in an order drawn anew; within the stream so made, each image
        moves by up to 4,096 positions. Without shards every order is equally likely.
        """
        if self.shards is None:
            return torch.randperm(len(self), generator=generator).numpy()
        numbers, index = np.unique(self.shards, return_inverse=True)
        turn = torch.randperm(len(numbers), generator=generator).numpy()
        by_shard = np.argsort(turn[index], kind="stable")
        moved = torch.rand(len(self), generator=generator, dtype=torch.float64).numpy() * _MIXED
        return by_shard[np.argsort(np.arange(len(self)) + moved, kind="stable")]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count() or 1, "striate-stream")

    def _decode(self, row: int) -> np.ndarray:
        item = self.items[row]
        try:
            with in_flight():
                content = self.read(item)
                if self.digests is None:
                    return decode_image(content, self.spec)
                pixels, digest, *_ = decode_with_digest(content, self.spec)
        except (OSError, BrokenImage) as error:
            raise DataError(
                f"{shown(item.name)} could be read when the set was looked through, and cannot be "
                f"read now: {error}. Restore it, and resume the run."
            ) from error
        if digest != self.digests[row]:
            raise DataError(
                f"{shown(item.name)} is another picture than when the set was looked through. "
                "Restore it, or train anew."
            )
        return pixels


Pixels = np.ndarray | ChosenImages | StreamedImages
"""Images (N, H, W, C), uint8: in memory, on the disk, or decoded as they are read."""
