"""Few images of each class: Striate beside scikit-learn on features of the same weights.

    python benchmarks/few.py 15-scene/ --images 10 --draws 10 --minutes 0.5

draws so many training images of each class, trains Striate on them from EfficientNet-Lite0, and
fits scikit-learn's logistic regression to the features of the same images, with its usual C = 1 and
with C by its own cross-validation. Both are measured on the whole test split, which is opened once
for all runs of Striate: set STRIATE_HOME to a folder of its own first. Prints a line for each draw,
then the mean ratio of the errors to those of the better fit, with a 95 % interval over the draws.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from torch import nn

import striate
from striate.api import evaluate_runs
from striate.networks import load_pretrained

sys.path.insert(0, str(Path(__file__).parent / "workers"))
from photographs_torch import BATCH, decoded, inputs

SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with train/CLASS/ and test/CLASS/.")
    parser.add_argument("--images", type=int, default=10, help="Training images of each class.")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=0.5)
    arguments = parser.parse_args()
    files = {split: sorted(arguments.data.glob(f"{split}/*/*")) for split in ("train", "test")}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.data.absolute().parent) as folder:
        runs, draws = [], []
        for draw in range(arguments.draws):
            chosen = drawn(files["train"], arguments.images, draw)
            draws.append(chosen)
            data = linked(Path(folder) / f"draw{draw}", arguments.data, [*chosen, *files["test"]])
            began = time.monotonic()
            run = striate.train(
                data, minutes=arguments.minutes, pretrained="efficientnet_lite0", leaks="allow",
                out=Path(folder) / f"run{draw}",
            )  # fmt: skip
            found = run.validation.error
            rows.append({"draw": draw, "seconds": round(time.monotonic() - began, 1)})
            rows[-1] |= {"validation": found.value, "low": found.low, "high": found.high}
            runs.append(run)
        for row, evaluation in zip(rows, evaluate_runs(runs), strict=True):
            row["striate"] = evaluation.metrics.error.value
        features = {split: features_of(paths) for split, paths in files.items()}
    index = {path: i for i, path in enumerate(files["train"])}
    truth = classes(files["test"])
    for row, chosen in zip(rows, draws, strict=True):
        x, y = features["train"][[index[path] for path in chosen]], classes(chosen)
        folds = min(5, arguments.images)
        for name, model in {
            "C = 1": LogisticRegression(max_iter=1_000),
            "C by cross-validation": LogisticRegressionCV(cv=folds, max_iter=1_000),
        }.items():
            row[name] = float((model.fit(x, y).predict(features["test"]) != truth).mean())
        print(json.dumps(row), flush=True)
    better = min(("C = 1", "C by cross-validation"), key=lambda name: sum(r[name] for r in rows))
    ratios = np.array([row["striate"] / row[better] for row in rows])
    half = stats.t.ppf(0.975, len(ratios) - 1) * stats.sem(ratios)
    means = {name: 100 * np.mean([row[name] for row in rows]) for name in ("striate", better)}
    print(
        f"striate {means['striate']:.2f} %, scikit-learn ({better}) {means[better]:.2f} %; ratio "
        f"{ratios.mean():.3f} [{ratios.mean() - half:.3f}, {ratios.mean() + half:.3f}], "
        f"{len(rows)} draws"
    )


def classes(paths: list[Path]) -> np.ndarray:
    """The class of each image: the name of its folder."""
    return np.array([path.parent.name for path in paths])


def drawn(paths: list[Path], num_images: int, draw: int) -> list[Path]:
    """So many images of each class, by a random number of their own."""
    generator, names = np.random.default_rng(draw), classes(paths)
    few = [generator.permutation(np.flatnonzero(names == name))[:num_images]
           for name in np.unique(names)]  # fmt: skip
    return [paths[i] for i in np.concatenate(few)]


def linked(folder: Path, data: Path, paths: list[Path]) -> Path:
    """A folder with links to some of the images of a set."""
    for path in paths:
        link = folder / path.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
    return folder


@torch.inference_mode()
def features_of(paths: list[Path]) -> np.ndarray:
    """The inputs of the last layer for images (N, 1280), in plain PyTorch."""
    torch.set_num_threads(os.cpu_count() or 1)
    network: Any = load_pretrained("efficientnet_lite0", num_classes=2).eval()
    network.head = nn.Identity()
    network.to(memory_format=torch.channels_last)
    rows = []
    for start in range(0, len(paths), BATCH):
        images = np.stack([decoded((str(path), SIZE)) for path in paths[start : start + BATCH]])
        rows.append(network(inputs(torch.from_numpy(images))).numpy())
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
