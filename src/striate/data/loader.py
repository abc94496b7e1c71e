"""Batches for training, each a pure function of its step.

The training items form one endless stream: epoch after epoch, each in its own order drawn from
the seed and the epoch's number. Step t takes items t·B to (t+1)·B of the stream. So the position
in the data is the step, a resumed run meets the same batches, and a batch can be made ahead of
time on a thread without changing it.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from striate import kernels
from striate.data.augment import Augmenter
from striate.data.augment.draw import Showing
from striate.data.batch import Batch
from striate.data.chosen import ChosenImages
from striate.data.streamed import Pixels, StreamedImages
from striate.errors import DataError
from striate.randomness import generator

if TYPE_CHECKING:
    from striate.data.part import ImageSet

# The mean of so many images lies within a few thousandths of a deviation of the mean of all.
_MEASURED = 8192
# The squares of so many levels sum to less than 2**24, up to where float32 counts exactly.
_EXACT = 256
_AT_ONCE = 2**24  # values, as floats


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of each channel of the training split, in units of [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measure(cls, images: Pixels) -> "Normalisation":
        """Mean and deviation over all pixels of (N, H, W, C) uint8 images; sums are exact.

        Of streamed images, which would all be decoded for it, over 8,192 at even distances.

        Source: the training split only, as SPEC S1 asks.
        """
        if isinstance(images, StreamedImages):
            images = images.sample(_MEASURED)
        channels = images.shape[-1]
        totals = torch.zeros(2, *images.shape[1:], dtype=torch.int64)
        some = max(1, min(_EXACT, _AT_ONCE // math.prod(images.shape[1:])))
        for start in range(0, len(images), some):
            values = torch.from_numpy(np.array(images[start : start + some])).float()
            totals[0] += values.sum(0).long()
            totals[1] += values.square_().sum(0).long()
        total, squares = totals.view(2, -1, channels).sum(1).double().numpy()
        count = math.prod(images.shape[:-1])
        mean = total / (255 * count)
        variance = np.maximum(squares / (255**2 * count) - mean**2, 0)
        # A constant channel has no scale of its own: leave it as it is.
        std = np.where(variance > 1e-8, np.sqrt(variance), 1.0)
        return cls(tuple(map(float, mean)), tuple(map(float, std)))

    def __call__(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Images with the mean subtracted and divided by the deviation."""
        mean = torch.tensor(self.mean, dtype=images.dtype, device=images.device)
        std = torch.tensor(self.std, dtype=images.dtype, device=images.device)
        return (images - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)


def to_float(pixels: UInt8[Tensor, "B H W C"]) -> Float[Tensor, "B C H W"]:
    """Values in [0, 1] with the channel axis second; memory stays channels-last."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)


class BatchLoader:
    """Augmented, normalised batches by step.

    Args:
        images: Training split.
        batch_size: Items a batch, B; a smaller set gives smaller batches.
        seed: Seed of the training.
        normalisation: Mean and deviation of the training split.
        augment: Augmentations; None leaves the images as they are.
        device: Device on which batches are made and used.
        channels_last: Memory layout of the batches.
        prefetch: Make the next batch on a thread while this one is used; pays where the
            arithmetic runs elsewhere than on the CPU, or images are streamed.
    """

    def __init__(
        self,
        images: "ImageSet",
        batch_size: int,
        seed: int,
        normalisation: Normalisation,
        augment: Augmenter | None = None,
        device: torch.device | str = "cpu",
        channels_last: bool = True,
        prefetch: bool | None = None,
    ) -> None:
        if len(images) == 0:
            raise DataError("There are no training images; nothing can be learned.")
        self._images = images
        self.batch_size = min(batch_size, len(images))
        self._seed = seed
        self._normalise = normalisation
        self._augment = Augmenter((), images.fields, 0) if augment is None else augment
        self._device = torch.device(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._orders: dict[int, np.ndarray] = {}
        self._tables: dict[bool, Tensor] = {}
        ahead = self._device.type != "cpu" or isinstance(images.images, StreamedImages)
        wanted = ahead if prefetch is None else prefetch
        self._pool = ThreadPoolExecutor(1, "striate-loader") if wanted else None
        self._ahead: tuple[int, Future[Batch]] | None = None
        self._position = 0

    @property
    def num_items(self) -> int:
        """Items in one epoch."""
        return len(self._images)

    @property
    def steps_per_epoch(self) -> float:
        """Steps that show each item once, on average."""
        return self.num_items / self.batch_size

    def state_dict(self) -> dict[str, int]:
        """The position in the data: the step of the next batch, and the seed of all orders."""
        return {"position": self._position, "seed": self._seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position; the seed must be the loader's own."""
        if state["seed"] != self._seed:
            raise DataError(
                f"The saved position belongs to seed {state['seed']}, this loader has seed "
                f"{self._seed}; the batches would differ. Use the run's own seed."
            )
        self._position = state["position"]

    def __next__(self) -> Batch:
        """The batch at the position, which moves on by one."""
        step = self._position
        self._position += 1
        if self._pool is None:
            return self.batch(step)
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = (step, self._pool.submit(self.batch, step))
        batch = self._ahead[1].result()
        self._ahead = (step + 1, self._pool.submit(self.batch, step + 1))
        return batch

    def __iter__(self) -> "BatchLoader":
        return self

    def items(self, step: int) -> "np.ndarray":
        """Indices of the items of a step's batch (B,)."""
        return self._showing(step).items

    def _showing(self, step: int) -> Showing:
        stream = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, positions = np.divmod(stream, self.num_items)
        index = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            mine = epochs == epoch
            index[mine] = self._order(int(epoch))[positions[mine]]
        return Showing(index, epochs)

    def batch(self, step: int) -> Batch:
        """The batch of any step."""
        showing = self._showing(step)
        # A memory map is read fastest in rising order; the order within a batch is no matter.
        rising = np.argsort(showing.items, kind="stable")
        index = showing.items[rising]
        showing = Showing(index, showing.epochs[rising])
        targets = self._images.targets(index)
        fields = {name: values.to(self._device) for name, values in targets.items()}
        by_kernel = self._device.type == "cpu" and kernels.available()
        read = self._by_kernel if by_kernel else self._by_torch
        fields = read(fields, showing, step)
        fields["image"] = fields["image"].contiguous(memory_format=self._format)
        return Batch(fields, torch.from_numpy(index))

    def _by_torch(
        self, fields: dict[str, Tensor], showing: Showing, step: int
    ) -> dict[str, Tensor]:
        pixels = torch.from_numpy(self._images.images[showing.items]).to(self._device)
        fields = self._augment({**fields, "image": to_float(pixels)}, step, showing=showing)
        return {**fields, "image": self._normalise(fields["image"])}

    def _by_kernel(
        self, fields: dict[str, Tensor], showing: Showing, step: int
    ) -> dict[str, Tensor]:
        """Make the batch, bit for bit, with moves of whole pixels and normalisation in one pass."""
        index, augment = showing.items, self._augment
        images_of_set = self._images.images
        if isinstance(images_of_set, StreamedImages):
            stored, index = images_of_set[index], np.arange(len(index))
        elif isinstance(images_of_set, ChosenImages):
            stored, index = images_of_set.stored, images_of_set.rows[index]
        else:
            stored = images_of_set
        _, H, W, C = stored.shape
        warp = augment.leading_warp((len(index), C, H, W), step, showing)
        # Other augmentations work on values in [0, 1] and come before the normalisation.
        last = augment.num_leading == len(augment)
        table = self._table(last)
        images = kernels.augmented_batch(stored, index, warp.rows, warp.columns, table)
        fields = {**augment.warp_fields(fields, warp), "image": images}
        if not last:
            fields = augment(fields, step, start=augment.num_leading, showing=showing)
            fields["image"] = self._normalise(fields["image"])
        return fields

    def _table(self, normalised: bool) -> Tensor:
        """The value of each level of each channel (C, 256), by the operations of `_by_torch`."""
        if normalised not in self._tables:
            C = self._images.images.shape[-1]
            levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 256, 1).expand(1, 1, 256, C)
            values = to_float(levels)
            values = self._normalise(values) if normalised else values
            self._tables[normalised] = values[0, :, 0].contiguous()
        return self._tables[normalised]

    def _order(self, epoch: int) -> "np.ndarray":
        if epoch not in self._orders:
            draw = generator(self._seed, "order", epoch)
            images = self._images.images
            order = (
                images.order(draw)
                if isinstance(images, StreamedImages)
                else torch.randperm(self.num_items, generator=draw).numpy()
            )
            # Two epochs at most are in use: a batch may lie across their border.
            self._orders = {e: o for e, o in self._orders.items() if e >= epoch - 1}
            self._orders[epoch] = order
        return self._orders[epoch]

    def close(self) -> None:
        """Stop the thread."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
