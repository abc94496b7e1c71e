"""Batches a second from the cache against a DataLoader that opens images one by one; decoding too.

    python benchmarks/data_throughput.py [--json FILE] [--quick] [--folder CLASS_FOLDERS]

Ours: batches of the memory-mapped cache, mirrored and shifted, normalised. Theirs: a torch
DataLoader whose data set opens each file with Pillow, mirrors, shifts (reflected padding and a
crop) and normalises it, without workers and with two. The same files, batch and thread count; the
ways run in turn, round by round; the ratio is taken round by round and its median printed, with
the least and greatest. The decoding half compares `decode_with_digest` image by image, the stream
of it that fills the cache (threads or worker processes), and `decode_image` (what `predict` calls)
with Pillow opening and resizing the whole picture.

Without --folder the files are made: smooth colour fields with noise, saved as JPEG, of the sizes
of CIFAR, of Tiny ImageNet and of photographs. Prints a table; --json writes all that was measured.
"""

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler

from striate.config import DataConfig
from striate.data import BatchLoader, ImageSpec, Normalisation, decode_image, prepare
from striate.data.augment import Augmenter
from striate.data.decode import decode_with_digest
from striate.data.decoding import decode_all
from striate.data.jpeg import decoder_name
from striate.data.source import Item
from striate.execution import keep_pages
from striate.registry import Pick

BATCH = 128
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
# Small images are decoded over and over, for workers are started for thousands only.
_SMALL_BYTES, _FILLED_TIMES = 8192, 16


class Files(Dataset):
    """Class folders as they are read in tutorials: one file an item, one transformation a time."""

    def __init__(self, root: Path, side: int) -> None:
        classes = sorted(path.name for path in root.iterdir())
        self.items = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((root / name).iterdir())
        ]
        self.side = side
        self.mean = torch.tensor(MEAN).view(3, 1, 1)
        self.std = torch.tensor(STD).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.items[index]
        with Image.open(path) as image:
            image = image.convert("RGB")
        if image.size != (self.side, self.side):
            image = image.resize((self.side, self.side), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32).div_(255)
        if torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
        most = round(self.side / 16)
        padded = torch.nn.functional.pad(pixels[None], (most,) * 4, mode="reflect")[0]
        top, left = torch.randint(0, 2 * most + 1, (2,)).tolist()
        pixels = padded[:, top : top + self.side, left : left + self.side]
        return (pixels - self.mean) / self.std, label


def made_folder(where: Path, count: int, height: int, width: int, seed: int) -> Path:
    """Two classes of smooth colour fields with noise, as JPEG of quality 90."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        folder = where / ("one", "two")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draw.integers(0, 256, (6, 7, 3), dtype=np.uint8))
        field = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = (field + draw.integers(-12, 13, field.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:06d}.jpg", quality=90)
    return where


def rate(images: int, work: Callable[[], object]) -> float:
    """Images a second."""
    start = time.perf_counter()
    work()
    return images / (time.perf_counter() - start)


def drawn(batches: Iterator[object], count: int) -> None:
    """So many batches, each let go before the next, as a training does."""
    for _ in range(count):
        next(batches)


def batch_rates(folder: Path, side: int, rounds: int, images: int) -> dict[str, Any]:
    """Images a second of ours and of DataLoaders with no and with two workers, in turn."""
    data = prepare(DataConfig(str(folder), (side, side), 3))
    picks = (Pick("flip"), Pick("shift"))
    loader = BatchLoader(
        data.train, BATCH, 0, Normalisation(MEAN, STD), Augmenter(picks, data.fields, 0)
    )
    files = Files(folder, side)
    batches = max(2, images // BATCH * 32 // side)
    next(loader)

    def ours() -> float:
        return rate(10 * batches * BATCH, lambda: drawn(loader, 10 * batches))

    def theirs(workers: int) -> float:
        """From the second batch on: starting the workers is not counted."""
        sampler = RandomSampler(files, replacement=True, num_samples=(batches + 1) * BATCH)
        source = iter(DataLoader(files, BATCH, sampler=sampler, num_workers=workers))
        next(source)
        return rate(batches * BATCH, lambda: drawn(source, batches))

    ways = {
        "cache": ours,
        "DataLoader": lambda: theirs(0),
        "DataLoader, 2 workers": lambda: theirs(2),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            rates[name].append(work())
    ratios = {
        name: [mine / other for mine, other in zip(rates["cache"], rates[name], strict=True)]
        for name in ways
        if name != "cache"
    }
    return {"rates": rates, "ratios": ratios}


def decode_rates(folder: Path, side: int, rounds: int) -> dict[str, Any]:
    """Images a second of decoding to a square, from memory, on all cores."""
    contents = [path.read_bytes() for path in sorted(folder.rglob("*.jp*g"))]
    spec = ImageSpec((side, side), 3, fit="squash")

    def pillow(content: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(content)) as image:
            image = image.convert("RGB")
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def ours(content: bytes) -> np.ndarray:
        return decode_image(content, spec)

    cores = os.cpu_count() or 1
    chunks = [contents[start : start + 64] for start in range(0, len(contents), 64)]

    def on_threads(decode: Callable[[bytes], object], workers: int) -> Callable[[], None]:
        def run() -> None:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda chunk: [decode(content) for content in chunk], chunks))

        return run

    decoders: dict[str, Callable[[bytes], object]] = {"for predict": ours, "Pillow": pillow}
    items = [Item(str(number), 0, None) for number in range(len(contents))]
    times = _FILLED_TIMES if sum(map(len, contents)) < _SMALL_BYTES * len(contents) else 1

    def filled() -> None:
        """As the cache is filled: with digest and thumbnail."""
        stream = chain.from_iterable(zip(items, contents, strict=True) for _ in range(times))
        for _ in decode_all(stream, spec):
            pass

    def one_by_one() -> None:
        for content in contents:
            decode_with_digest(content, spec)

    ways = {
        "for the cache, image by image": (len(contents), one_by_one),
        f"for the cache, as it is filled, {cores} core(s)": (times * len(contents), filled),
    } | {
        f"{name}, {workers} thread(s)": (len(contents), on_threads(decode, workers))
        for name, decode in decoders.items()
        for workers in sorted({1, cores})
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (count, work) in ways.items():
            rates[name].append(rate(count, work))
    some = contents[:200]
    difference = [np.abs(ours(content).astype(int) - pillow(content)) for content in some]
    return {
        "rates": rates,
        "largest_difference": max(int(d.max()) for d in difference),
        "mean_difference": float(np.mean([d.mean() for d in difference])),
    }


def measure(quick: bool, folder: Path | None, side: int) -> dict[str, Any]:
    """All figures, by set."""
    rounds = 3 if quick else 7
    results: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pillow": Image.__version__,
            "decoder": decoder_name(),
        },
        "batch": BATCH,
        "rounds": rounds,
        "sets": {},
    }
    few = 4 if quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["STRIATE_CACHE"] = f"{scratch}/cache"
        sets = {
            "32 × 32": (32, 2560 // few, 32, 32),
            "64 × 64": (64, 1280 // few, 64, 64),
            "photographs 375 × 500 to 128 × 128": (128, 512 // few, 375, 500),
        }
        if folder is not None:
            sets = {folder.name: (side, 0, 0, 0)}
        for number, (name, (to, count, height, width)) in enumerate(sets.items()):
            place = folder or made_folder(Path(scratch) / str(number), count, height, width, number)
            results["sets"][name] = {
                "batches": batch_rates(place, to, rounds, 2560 // few),
                "decoding": decode_rates(place, to, rounds),
            }
    return results


def spread(values: list[float], digits: int = 0) -> str:
    """Median, least and greatest."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f} to {most:,.{digits}f})"


def table(results: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| images | way | images/s: median (least to greatest) | ours, times as fast |",
        "|---|---|---|---|",
    ]
    for name, measured in results["sets"].items():
        ratios = measured["batches"]["ratios"]
        for way, rates in measured["batches"]["rates"].items():
            times = spread(ratios[way], 1) if way in ratios else ""
            lines.append(f"| {name} | batches: {way} | {spread(rates)} | {times} |")
        for way, rates in measured["decoding"]["rates"].items():
            lines.append(f"| {name} | decoding: {way} | {spread(rates)} | |")
        largest = measured["decoding"]["largest_difference"]
        mean = measured["decoding"]["mean_difference"]
        lines.append(f"| {name} | difference from Pillow | largest {largest}, mean {mean:.3f} | |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, and write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--folder", type=Path, help="class folders of JPEG files, not split")
    parser.add_argument("--side", type=int, default=32, help="with --folder: size of the images")
    parser.add_argument("--threads", type=int, help="of torch; without it torch's own choice")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    keep_pages()  # as a training does
    results = measure(asked.quick, asked.folder, asked.side)
    print(table(results))
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
