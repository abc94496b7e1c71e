"""One-of-N against distributed codes of patches: the error of one classifier against their size.

    python benchmarks/codes.py CIFAR-10 [--seeds 3] [--out benchmarks/results/codes.json]

Patches of 6×6 pixels, whitened, become codes of K numbers; codes are averaged over the quarters of
the image (Coates, Lee and Ng 2011, section 3); regularised least squares, one target a class,
answers; its penalty is chosen on other images. All codes are made of dictionaries of K vectors, and
only the code differs:

    one-of-N    1 for the nearest k-means centre, 0 for all others
    triangle    max(0, mean distance - distance) of the same centres (Coates et al. 2011)
    units       max(0, ⟨x, d⟩ - 1/2) of the same centres, made unit vectors (Coates and Ng 2011)
    on or off   1 where that unit is above 0, else 0
    random      `units` of patches taken at random instead of centres: nothing is learned

The set's test split is never opened: the figures are errors on its validation split.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.classical.vocabulary import learn_words
from striate.config import DataConfig
from striate.data import Dataset, prepare

PATCH, STRIDE = 6, 2
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
COARSE_SIZES = (2048,)  # of one-of-N alone: does it catch up?
NAMES = ("one-of-N", "triangle", "units", "on or off", "random")
THRESHOLD = 0.5  # of a unit, in deviations of a whitened patch's number
CHUNK = 16  # images at a time: their codes stay in the cache of the processor
SAMPLED = 50_000  # patches from which whitening and centres are learned
PENALTIES = (0.01, 0.1, 1.0, 10.0)  # of the squared weights, for each training image


class Patches:
    """Whitened patches of images: 6×6 at every second pixel.

    Args:
        images: (N, H, W, 3) uint8, from which whitening is learned.
        draw: chooses among their patches.
    """

    def __init__(self, images: np.ndarray, draw: np.random.Generator) -> None:
        self.mean, self.axes = torch.zeros(3 * PATCH**2), torch.eye(3 * PATCH**2)
        chosen = images[draw.permutation(len(images))[:1_000]]
        rows = self(chosen).flatten(0, 2)
        self.sample = rows[torch.from_numpy(draw.permutation(len(rows))[:SAMPLED])]
        self.mean = self.sample.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov((self.sample - self.mean).T))
        self.axes = vectors @ torch.diag((values + 0.1) ** -0.5) @ vectors.T
        self.sample = (self.sample - self.mean) @ self.axes

    def __call__(self, images: np.ndarray) -> Tensor:
        """(N, rows, columns, 108), brightness and contrast of each taken out before whitening."""
        x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
        side = (x.shape[2] - PATCH) // STRIDE + 1
        rows = F.unfold(x, PATCH, stride=STRIDE).transpose(1, 2)
        rows = rows - rows.mean(dim=2, keepdim=True)
        rows = rows / torch.sqrt(rows.var(dim=2, keepdim=True) + 10)  # on the scale 0..255
        return ((rows - self.mean) @ self.axes).unflatten(1, (side, side))


def encoders(centres: Tensor, patches: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """The codes by name: (..., D) patches to (..., K)."""
    units, random = F.normalize(centres, dim=1), F.normalize(patches, dim=1)
    lengths = centres.square().sum(dim=1)

    def squared(x: Tensor) -> Tensor:
        return lengths - 2 * (x @ centres.T)  # less the patch's own, the same for all centres

    def triangle(x: Tensor) -> Tensor:
        away = (squared(x) + x.square().sum(dim=-1, keepdim=True)).clamp(min=0).sqrt()
        return (away.mean(dim=-1, keepdim=True) - away).clamp(min=0)

    return {
        "one-of-N": lambda x: F.one_hot(squared(x).argmin(dim=-1), len(centres)).float(),
        "triangle": triangle,
        "units": lambda x: (x @ units.T - THRESHOLD).clamp(min=0),
        "on or off": lambda x: (x @ units.T > THRESHOLD).float(),
        "random": lambda x: (x @ random.T - THRESHOLD).clamp(min=0),
    }


def features(
    patches: Patches, codes: dict[str, Callable[[Tensor], Tensor]], images: np.ndarray
) -> dict[str, np.ndarray]:
    """(N, 4·K) of each code: its means over the quarters of the images."""
    found: dict[str, list[Tensor]] = {name: [] for name in codes}
    for start in range(0, len(images), CHUNK):
        x = patches(images[start : start + CHUNK])
        half = x.shape[1] // 2
        for name, code in codes.items():
            grid = code(x)
            parts = [
                grid[:, rows, columns].mean(dim=(1, 2))
                for rows in (slice(half), slice(half, None))
                for columns in (slice(half), slice(half, None))
            ]
            found[name].append(torch.cat(parts, dim=1))
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def answers(
    rows: list[np.ndarray], train: np.ndarray, other: np.ndarray, num_classes: int
) -> tuple[np.ndarray, float]:
    """Answers for the third of `rows`, learned from the first, and the penalty that was chosen.

    Args:
        rows: features of the images to learn from, to choose by and to answer.
        train, other: classes of the first two.
        num_classes: K.
    """
    mean, scale = rows[0].mean(axis=0), rows[0].std(axis=0)
    parts = [torch.from_numpy((x - mean) / np.where(scale > 0, scale, 1)) for x in rows]
    target = F.one_hot(torch.from_numpy(train), num_classes).float() - 1 / num_classes
    square = (parts[0].T @ parts[0]).double() / len(train)
    moment = (parts[0].T @ target).double() / len(train)
    best: tuple[int, np.ndarray, float] | None = None
    for penalty in PENALTIES:
        # The mean of the square's diagonal is 1: a penalty means the same for every code.
        whole = square + penalty * torch.eye(len(square), dtype=torch.float64)
        weight = torch.cholesky_solve(moment, torch.linalg.cholesky(whole)).float()
        wrong = int(((parts[1] @ weight).argmax(dim=1).numpy() != other).sum())
        if best is None or wrong < best[0]:
            best = wrong, (parts[2] @ weight).argmax(dim=1).numpy(), penalty
    if best is None:
        raise RuntimeError("no penalties")
    return best[1:]


def measured(
    data: Dataset, seed: int, num_train: int, sizes: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """One row for each code and size: its errors on the validation split."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(data.train))[: num_train + num_train // 5]
    pieces = [data.train.images[np.sort(o)] for o in (order[:num_train], order[num_train:])]
    parts = [*pieces, np.asarray(data.validation.images[:])]
    train, other = (data.train.labels[np.sort(o)] for o in (order[:num_train], order[num_train:]))
    patches = Patches(parts[0], draw)
    for size in sizes:
        cpu = time.process_time()
        centres = torch.from_numpy(learn_words(patches.sample.numpy(), size, seed))
        random = patches.sample[torch.from_numpy(draw.permutation(SAMPLED)[:size])]
        codes = encoders(centres, random)
        if size in COARSE_SIZES:
            codes = {"one-of-N": codes["one-of-N"]}
        rows = [features(patches, codes, part) for part in parts]
        for name in codes:
            three = [of[name] for of in rows]
            given, penalty = answers(three, train, other, len(data.class_names))
            yield {
                "code": name,
                "size": size,
                "seed": seed,
                "wrong": int((given != data.validation.labels).sum()),
                "n": len(given),
                "penalty": penalty,
            }
        print(f"K = {size}: {time.process_time() - cpu:.0f} s of processor time", flush=True)


def draw_chart(path: Path, rows: list[dict[str, Any]]) -> None:
    """Error against size, one line a code, bars over the range of the seeds."""
    from benchmarks.harness.chart import curves
    from benchmarks.harness.statistic import summary

    table = {
        str(size): {
            name: summary([r["wrong"] / r["n"] for r in found])
            for name in NAMES
            if (found := [r for r in rows if (r["size"], r["code"]) == (size, name)])
        }
        for size in sorted({r["size"] for r in rows})
    }
    labels = ("numbers in the code of a patch (K)", "validation error, %")
    curves(path, table, {name: name for name in NAMES}, labels=labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="CIFAR-10, or another set of small colour images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=5_000, help="images to train on")
    parser.add_argument("--most", type=int, default=COARSE_SIZES[-1], help="largest K")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/codes.json"))
    parser.add_argument("--chart", type=Path, default=Path("docs/images/codes.svg"))
    asked = parser.parse_args()
    data = prepare(DataConfig(source=asked.data, input_size=(32, 32), channels=3))
    sizes = tuple(size for size in (*SIZES, *COARSE_SIZES) if size <= asked.most)
    results: dict[str, Any] = {
        "data": data.title,
        "train": asked.train,
        "validation": len(data.validation),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} used",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "rows": [],
    }
    for seed in range(asked.seeds):
        for row in measured(data, seed, asked.train, sizes):
            print(json.dumps(row), flush=True)
            results["rows"].append(row)
            asked.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    draw_chart(asked.chart, results["rows"])


if __name__ == "__main__":
    main()
