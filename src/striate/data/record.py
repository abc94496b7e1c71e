"""Sources that hold records of fixed size in a few large files: idx (MNIST) and CIFAR binaries."""

import gzip
import io
import tarfile
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from striate.data.source import Content, Item, Listing, Progress, Source, Split
from striate.errors import DataError


class Record(NamedTuple):
    """One labelled picture."""

    split: Split | None
    row: int
    label: int
    pixels: np.ndarray


@dataclass(eq=False, repr=False)
class RecordSource(Source):
    """Pictures that come one after another from files of a known form."""

    title: str
    origin: str
    licence: str | None = field()
    identity: str
    """The set's official checksums: its content can be no other."""
    obtain: Callable[[Progress | None], object]
    """Finds the official files, or downloads them."""
    names: Callable[[], Sequence[str]]
    records: Callable[[], Iterator[Record]]

    def fingerprint(self) -> str:
        """The set's official checksums."""
        return self.identity

    def fetch(self, progress: Progress | None = None) -> None:
        """Find the official files, or download them."""
        self.obtain(progress)

    def _list(self) -> Listing:
        self.fetch()
        items = [
            Item(f"{split or 'all'}/{row:05d}", label, split, (split, row))
            for split, row, label, _ in self.records()
        ]
        return Listing(tuple(self.names()), tuple(sorted(items, key=lambda item: item.name)))

    def read(self, item: Item, limit: int | None = None) -> np.ndarray:
        """The pixels of one item; reads all that lies before it, `stream` is the quick way."""
        content = next(iter(self.stream([item])))[1]
        if isinstance(content, np.ndarray):
            return content
        raise OSError(f"{item.name} is not in {self.title}")

    def stream(
        self, items: Sequence[Item], limit: int | None = None
    ) -> Iterator[tuple[Item, Content]]:
        """The items in the order of the files."""
        wanted = {item.key: item for item in items}
        for record in self.records():
            item = wanted.get((record.split, record.row))
            if item is not None:
                yield item, record.pixels


def idx_records(split: Split, images: Path, labels: Path) -> Iterator[Record]:
    """Pictures of an idx3 file with the labels of an idx1 file, compressed or not.

    Raises:
        DataError: the files are not idx, or do not fit each other.
    """
    with open_unpacked(labels) as stream:
        (count,) = _idx_shape(stream, labels, axes=1)
        of_rows = stream.read(count)
    with open_unpacked(images) as stream:
        num_images, height, width = _idx_shape(stream, images, axes=3)
        if num_images != count or len(of_rows) != count:
            raise DataError(
                f"{images} holds {num_images} pictures, {labels} {len(of_rows)} labels."
            )
        for row in range(count):
            content = stream.read(height * width)
            if len(content) < height * width:
                raise DataError(f"{images} ends after {row} of {count} pictures.")
            pixels = np.frombuffer(content, dtype=np.uint8).reshape(height, width)
            yield Record(split, row, of_rows[row], pixels)


def open_unpacked(path: Path) -> io.BufferedIOBase:
    """The bytes of a file, decompressed if its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _idx_shape(stream: io.BufferedIOBase, path: Path, axes: int) -> tuple[int, ...]:
    header = stream.read(4 + 4 * axes)
    # Two zero bytes, 8 for uint8, the number of axes; then each length, big-endian.
    if len(header) < 4 + 4 * axes or header[:4] != bytes([0, 0, 8, axes]):
        raise DataError(f"{path} is not an idx file of uint8 with {axes} axes.")
    return tuple(int(n) for n in np.frombuffer(header[4:], dtype=">u4"))


def cifar_records(archive: Path, label_bytes: int, splits: dict[str, Split]) -> Iterator[Record]:
    """Records of the binary version of CIFAR: labels (the last one counts), then R, G, B planes.

    Args:
        archive: The .tar.gz file.
        label_bytes: Bytes of the labels: 1 for CIFAR-10; 2 for CIFAR-100 (coarse, fine).
        splits: Split of each member, by its file name; rows are numbered through a split in the
            order of these names.
    """
    length = label_bytes + 3 * 32 * 32
    first: dict[str, int] = {}
    numbered: Counter[Split] = Counter()
    for name, split in splits.items():
        first[name] = numbered[split]
        numbered[split] += 10_000  # a batch of CIFAR-10; CIFAR-100 has one file for each split
    for name, size, content in _cifar_members(archive, splits):
        for row in range(size // length):
            record = content.read(length)
            planes = np.frombuffer(record, np.uint8, offset=label_bytes).reshape(3, 32, 32)
            pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
            yield Record(splits[name], first[name] + row, record[label_bytes - 1], pixels)


def cifar_names(archive: Path, member_name: str) -> list[str]:
    """The class names that the archive itself lists, one a line."""
    for _, _, content in _cifar_members(archive, {member_name}):
        return content.read().decode().split()
    raise DataError(f"{archive} holds no {member_name}; it is not the official file.")


def _cifar_members(archive: Path, names: Container[str]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of the members with some file names, in the archive's order."""
    with tarfile.open(archive, "r|*") as stream:
        for member in stream:
            name = member.name.rpartition("/")[2]
            content = stream.extractfile(member) if name in names else None
            if content is not None:
                yield name, member.size, content
