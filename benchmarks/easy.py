"""How long an easy set must be learned: test errors of short and long trainings, by seed.

    python benchmarks/easy.py digits --epochs 5 10 40 --seeds 0 1 2 3 4

trains the planner's network for so many epochs, each with its whole schedule, and prints the
validation and test mistakes and the seconds of processor time. Each training opens the test split
of the set once: set STRIATE_HOME to a folder of its own first.
"""

import argparse
import tempfile
import time
from pathlib import Path

import striate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--epochs", type=float, nargs="+", default=[10, 40])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    how = {"training": {"batch_size": arguments.batch, "validations": 1, "checkpoints": 1}}
    for epochs in arguments.epochs:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                run = striate.train(
                    arguments.data, epochs=epochs, seed=seed, out=Path(folder) / "run", settings=how
                )
                seconds = time.process_time() - began
                validation, test = run.validation.error, run.evaluate().metrics.error
            print(
                f"{epochs:g} epochs, seed {seed}: validation {validation.count} of {validation.n}, "
                f"test {test.count} of {test.n}, {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
