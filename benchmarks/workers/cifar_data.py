"""CIFAR-10 for the peers: decoded images, and batches of them by plain indexing."""

import io
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

__all__ = ["MEAN", "STD", "Clock", "Images", "decoded", "files"]

MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32) * 255
STD = np.array([0.2470, 0.2435, 0.2616], np.float32) * 255


_SUFFIXES = (".jpg", ".jpeg", ".png")


def files(source: Path) -> Iterator[tuple[str, str, bytes]]:
    """Split, class and bytes of each image of a folder or tar of class folders."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in _SUFFIXES and path.parts[-3] in ("train", "test"):
                yield path.parts[-3], path.parts[-2], path.read_bytes()
        return
    with tarfile.open(source) as archive:
        for member in archive:
            parts = Path(member.name).parts
            wanted = member.isfile() and parts[-1].lower().endswith(_SUFFIXES)
            if wanted and len(parts) >= 3 and parts[-3] in ("train", "test"):
                file = archive.extractfile(member)
                if file is not None:
                    yield parts[-3], parts[-2], file.read()


def decoded(source: str) -> tuple[np.ndarray, np.ndarray]:
    """The training images (N, 32, 32, 3) and labels (N,), decoded by Pillow on all cores."""
    found = [(name, data) for split, name, data in files(Path(source)) if split == "train"]
    classes = sorted({name for name, _ in found})
    with ProcessPoolExecutor() as pool:
        images = pool.map(pixels_of, [data for _, data in found], chunksize=2000)
        return np.stack(list(images)), np.array([classes.index(name) for name, _ in found])


def pixels_of(data: bytes) -> np.ndarray:
    """An image file as RGB (H, W, 3)."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


class Clock:
    """The share of a budget that is used; the budget began when the command was started."""

    def __init__(self, began: float, budget: float, closing: float) -> None:
        self.end = began + budget - closing
        self.start = time.time()

    def progress(self) -> float:
        """0 at the first step, 1 when it is time to stop."""
        return min(1.0, (time.time() - self.start) / max(1e-3, self.end - self.start))


class Images:
    """Shuffled training batches without end.

    Args:
        folder: of the arrays.
        source: the set itself, decoded here; "": the arrays are read.
        batch: images in a batch.
        seed: of order, mirroring and shifts.
        shift: most pixels; the image is mirrored at its border.
        alternate: mirror each image in every second epoch instead of at random.
    """

    def __init__(
        self,
        folder: str,
        batch: int,
        seed: int,
        *,
        source: str = "",
        shift: int = 4,
        alternate: bool = False,
    ) -> None:
        if source:
            self.pixels, self.labels = decoded(source)
        else:
            self.pixels = np.load(Path(folder) / "train.npy", mmap_mode="r")
            self.labels = np.load(Path(folder) / "train_labels.npy")
        self.batch, self.shift, self.alternate = batch, shift, alternate
        self.draw = np.random.default_rng(seed)
        self.first_flip = self.draw.integers(0, 2, len(self.labels)).astype(bool)
        self.epoch, self.place = -1, len(self.labels)
        self.seen = 0

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        """uint8 images (B, 32, 32, 3) and labels (B,)."""
        if self.place + self.batch > len(self.labels):
            self.order, self.place = self.draw.permutation(len(self.labels)), 0
            self.epoch += 1
        index = self.order[self.place : self.place + self.batch]
        self.place += self.batch
        self.seen += self.batch
        moved = self.draw.integers(-self.shift, self.shift + 1, (2, self.batch, 1)) + np.arange(32)
        rows, columns = 31 - np.abs(31 - np.abs(moved))  # mirrored at both borders
        flip = self.draw.random(self.batch) < 0.5
        if self.alternate:
            flip = self.first_flip[index] ^ bool(self.epoch % 2)
        columns = np.where(flip[:, None], columns[:, ::-1], columns)
        images = self.pixels[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return images, self.labels[index]
