"""Published weights in Striate and in plain PyTorch: the same images, weights, clock and figures.

    python benchmarks/photographs.py 15-scene/ --minutes 1 3 --seeds 0 1 2

trains, for each number of minutes and seed, what Striate plans from EfficientNet-Lite0, and the
same weights in plain PyTorch (channels last, all cores): the last layer alone, and all layers with
three rates, of which the best on validation counts; the images have the size that Striate planned.
The test split is opened once for all runs of Striate: set STRIATE_HOME to a folder of its own
first.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import striate
from striate.api import evaluate_runs
from striate.api.frame import decoded_images
from striate.data import open_source
from striate.terminal import Reporter

WORKER = Path(__file__).parent / "workers" / "photographs_torch.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder of class folders with a test split.")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="*", default=[1e-4, 3e-4, 1e-3])
    arguments = parser.parse_args()
    runs, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            for seed in arguments.seeds:
                run = striate.train(
                    arguments.data,
                    minutes=minutes,
                    seed=seed,
                    pretrained="efficientnet_lite0",
                    leaks="allow",
                    out=Path(folder) / f"{minutes:g}-{seed}",
                )
                runs.append((minutes, seed, run))
                rows += of_torch(arguments, run, minutes, seed)
        for (minutes, seed, _), found in zip(
            runs, evaluate_runs([run for *_, run in runs]), strict=True
        ):
            error = found.metrics.error
            rows.append({"side": "striate", "minutes": minutes, "seed": seed, "test": error.value})
            print(json.dumps(rows[-1]), flush=True)
    for minutes in arguments.minutes:
        for side in ("striate", "torch last", "torch all"):
            of_side = [r for r in rows if r["side"] == side and r["minutes"] == minutes]
            values = [row["test"] for row in of_side if row.get("counts", True)]
            each = " ".join(f"{100 * value:.2f}" for value in values)
            print(f"{minutes:g} min {side:10} test error {100 * statistics.median(values):.2f} %"
                  f" (seeds: {each})")  # fmt: skip


def of_torch(
    arguments: argparse.Namespace, run: striate.Run, minutes: float, seed: int
) -> list[dict[str, Any]]:
    """The figures of plain PyTorch on the splits and at the size of a run."""
    source = open_source(str(arguments.data))
    dataset = decoded_images(run.config, source, Reporter())
    labels = {item.name: item.label for item in source.items}
    files = {
        "train": [(name, labels[name]) for name in dataset.train.names],
        "validation": [(name, labels[name]) for name in dataset.validation.names],
        "test": [(item.name, item.label) for item in source.items if item.split == "test"],
    }
    job = {
        "folder": str(arguments.data),
        "files": files,
        "num_classes": len(source.class_names),
        "size": min(run.config.data.input_size),
        "seed": seed,
        "seconds": 60 * minutes,
    }
    rows = []
    for mode, rate in [("last", 0.0), *(("all", rate) for rate in arguments.rates)]:
        job |= {"mode": mode, "rate": rate}
        began = time.monotonic()
        command = [sys.executable, str(WORKER), json.dumps(job)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if ended.returncode:
            sys.exit("PyTorch ended without figures; its own words stand above.")
        row = {"side": f"torch {mode}", "minutes": minutes, "seed": seed, "rate": rate}
        rows.append({**row, **json.loads(ended.stdout), "wall": time.monotonic() - began})
    best = min(row["validation"] for row in rows if row["side"] == "torch all")
    for row in rows:
        row["counts"] = row["side"] == "torch last" or row["validation"] == best
        print(json.dumps(row), flush=True)
    return rows


if __name__ == "__main__":
    main()
