"""Segmentation beside a plain PyTorch U-Net: the same images, windows, loss, clock and figures.

    python benchmarks/segmentation.py camvid/ --minutes 10 --seeds 0 1 2

trains, for each seed, the network that the planner chooses, and the same network written in plain
PyTorch (channels last, all cores, AdamW, one cycle by the clock). Of three rates, tried with the
first seed, the best on the validation split is PyTorch's. Every training takes the minutes that
were set. The test split is opened once for all runs of Striate: set STRIATE_HOME to a folder of its
own first. Prints a JSON line for each training, then the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import striate
from striate.api import evaluate_runs
from striate.data import open_source

WORKER = Path(__file__).parent / "workers" / "segmentation_torch.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with splits; masks hold ids.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="*", default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--network", type=json.loads, help='As JSON: {"name": "unet", "width": 24}')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measured(arguments, Path(folder)))
    for side in ("striate", "torch"):
        values = [row["test"] for row in rows if row["side"] == side and row.get("counts", True)]
        if values:
            each = " ".join(f"{100 * value:.1f}" for value in values)
            print(f"{side:8} test mean IoU {100 * statistics.median(values):.1f} (seeds: {each})")


def measured(arguments: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """The figures of each training; of PyTorch's, whether its rate is the best of its seed."""
    own = {} if arguments.network is None else {"network": arguments.network}
    runs, rates = [], arguments.rates
    for seed in arguments.seeds:
        out = folder / f"run{seed}"
        length = {"minutes": arguments.minutes, "seed": seed, "out": out}
        runs.append(striate.train(arguments.data, settings=own, **length))
        tried = [of_torch(arguments, runs[-1], rate) for rate in rates]
        best = max((row["validation"] for row in tried), default=0)
        for row in tried:
            row["counts"] = row["validation"] == best
            print(json.dumps(row), flush=True)
        yield from tried
        rates = [row["rate"] for row in tried if row["counts"]][:1]
    for seed, evaluation in zip(arguments.seeds, evaluate_runs(runs), strict=True):
        row = {
            "side": "striate",
            "seed": seed,
            "network": evaluation.run.config.network.to_json(),
            "validation": mean_iou(evaluation.run.validation),
            "test": mean_iou(evaluation.metrics),
        }
        print(json.dumps(row), flush=True)
        yield row


def mean_iou(summary: Any) -> float:
    """The headline of the figures of a split."""
    return float(summary.estimates["mean IoU"].value)


def of_torch(arguments: argparse.Namespace, run: striate.Run, rate: float) -> dict[str, Any]:
    """The figures of the network of a run, trained in plain PyTorch in a process of its own."""
    mask: Any = run.fields["mask"]
    files: dict[str, list[tuple[str, str]]] = {}
    for item in open_source(str(arguments.data)).items:
        pair = item.name, (item.columns or {})["mask"]
        files.setdefault(item.split or "train", []).append(pair)
    config = run.config.to_json()
    job = {
        "folder": str(arguments.data),
        "files": files,
        "num_classes": len(mask.names),
        "void": mask.void,
        "network": config["network"],
        "batch_size": config["training"]["batch_size"],
        "balance": config["loss"].get("balance", 1.0),
        "crop": next(pick for pick in config["augmentation"] if pick["name"] == "crop"),
        "rate": rate,
        "seed": config["training"]["seed"],
        "seconds": 60 * arguments.minutes,
    }
    command = [sys.executable, str(WORKER), json.dumps(job)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.exit("The training in PyTorch ended without figures; its own words stand above.")
    return {"side": "torch", "seed": job["seed"], "rate": rate, **json.loads(ended.stdout)}


if __name__ == "__main__":
    main()
