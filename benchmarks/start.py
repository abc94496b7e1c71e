"""Does the planner begin as it should? Both ways of beginning, and the planner's, on several sets.

    python benchmarks/start.py digits 15-scene/ cells/ --minutes 1 5

trains each set for so many minutes from nothing, from published weights, and as the planner
decides, and prints the validation error of each. With --test the test split of each set is opened
once for all of its runs: set STRIATE_HOME to a folder of its own first. The planner has decided
well where its error is at most the better of both ways and half of its interval.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import striate
from striate.api import evaluate_runs

WAYS: dict[str, str | None] = {"nothing": "none", "weights": "efficientnet_lite0", "planner": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 5.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--test", action="store_true", help="Open the test split, once for all.")
    arguments = parser.parse_args()
    for data in arguments.data:
        with tempfile.TemporaryDirectory() as folder:
            measure(data, arguments, Path(folder))


def measure(data: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Train a set in each way for each number of minutes, and print a line for each."""
    rows: list[dict[str, Any]] = []
    runs = []
    for minutes in arguments.minutes:
        for way in arguments.ways:
            began = time.monotonic()
            run = striate.train(
                data,
                minutes=minutes,
                pretrained=WAYS[way],
                seed=arguments.seed,
                leaks="allow",
                out=folder / f"{way}-{minutes:g}",
            )
            seconds = time.monotonic() - began
            chosen = "nothing" if run.config.pretrained is None else "weights"
            found = run.validation.error
            row = {"data": Path(data).name, "minutes": minutes, "way": way, "chosen": chosen}
            row |= {"seconds": round(seconds, 1), "validation": found.value, "n": found.n}
            row |= {"low": found.low, "high": found.high}
            rows.append(row)
            runs.append(run)
            if not arguments.test:
                print(json.dumps(row), flush=True)
    if arguments.test:
        for row, evaluation in zip(rows, evaluate_runs(runs), strict=True):
            found = evaluation.metrics.error
            row |= {"test": found.value, "test_n": found.n, "low": found.low, "high": found.high}
            print(json.dumps(row), flush=True)
    score = "test" if arguments.test else "validation"
    for minutes in arguments.minutes:
        by_way = {row["way"]: row for row in rows if row["minutes"] == minutes}
        if set(by_way) == set(WAYS):
            planner = by_way["planner"]
            best = min(by_way["nothing"][score], by_way["weights"][score])
            allowed = best + (planner["high"] - planner["low"]) / 2
            well = "well" if planner[score] <= allowed else "NOT WELL"
            print(f"{Path(data).name}, {minutes:g} min: decided {well}", flush=True)


if __name__ == "__main__":
    main()
