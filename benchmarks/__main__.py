"""python -m benchmarks PART: measure Striate and its peers on this machine.

    throughput   training, images a second, share of the SGEMM peak
    error        CIFAR-10: test error against seconds
    data         decoding and batches
    inference    latency and throughput
    startup      seconds until something happens
    memory       the most that training holds
    all          all of these, one after another
    page         docs/explanation/benchmarks.md and its pictures from the results, without measuring
    prepare      install the peers' environments, without measuring

Every part goes on where it was stopped, and says at its start how long it takes.
"""

import argparse
import importlib
import signal
import sys
from pathlib import Path

from benchmarks.harness import environment
from benchmarks.harness.campaign import Options
from benchmarks.harness.cifar import MissingDataError
from benchmarks.harness.isa import ISAS
from benchmarks.harness.store import OtherMachineError

PARTS = ("throughput", "error", "data", "inference", "startup", "memory")


def main() -> int:
    arguments = _arguments()
    # So that a measurement in progress is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = arguments.results
    if results is None:
        results = (
            environment.place("quick") if arguments.quick else Path(__file__).parent / "results"
        )
    if arguments.part == "prepare":
        return _prepare()
    parts = PARTS if arguments.part == "all" else (arguments.part,)
    whole = True
    if arguments.part != "page":
        options = _options(arguments, results)
        environment.begin_cache(quick=arguments.quick, fresh=arguments.fresh)
        for part in parts:
            module = importlib.import_module(f"benchmarks.parts.{part}")
            print(f"== {part}: about {module.EXPECTED_MINUTES} minutes in all", flush=True)
            try:
                if part == "error":
                    whole &= module.measure(options, arguments.budgets, arguments.images)
                else:
                    whole &= module.measure(options)
            except (OtherMachineError, MissingDataError) as error:
                sys.stderr.write(f"{error}\n")
                whole = False
    from benchmarks.harness import page

    page.write(results, quick=arguments.quick)
    return 0 if whole else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=(*PARTS, "all", "page", "prepare"))
    parser.add_argument(
        "--quick", action="store_true", help="does everything run? one repeat, tiny batches"
    )
    parser.add_argument("--only", type=_names, default=(), metavar="PEER,...")
    parser.add_argument("--cases", type=_names, default=(), metavar="NETWORK,...")
    parser.add_argument("--repeats", type=int, help="of each measurement")
    parser.add_argument("--isa", choices=ISAS, help="hold all to older vector instructions")
    parser.add_argument("--fresh", action="store_true", help="begin anew; the old file is kept")
    parser.add_argument(
        "--max-minutes", type=float, help="begin nothing after these; the next call goes on"
    )
    parser.add_argument("--results", type=Path, help="folder of the JSON files")
    parser.add_argument("--data", help="CIFAR-10 as class folders; default: in $STRIATE_DATA")
    parser.add_argument(
        "--budgets", type=_seconds, default=(), metavar="SECONDS,...", help="of the part error"
    )
    parser.add_argument(
        "--images", type=int, default=None, help="test images that peers answer (quick runs)"
    )
    return parser.parse_args()


def _options(arguments: argparse.Namespace, results: Path) -> Options:
    return Options(
        results=results,
        quick=arguments.quick,
        only=arguments.only,
        cases=arguments.cases,
        repeats=arguments.repeats,
        isa=arguments.isa,
        fresh=arguments.fresh,
        minutes=arguments.max_minutes,
        data=arguments.data,
    )


def _prepare() -> int:
    absent = 0
    for name in environment.names():
        try:
            print(f"{name}: {environment.interpreter(name)}", flush=True)
        except environment.AbsentError as reason:
            absent += 1
            print(f"{name}: absent: {reason}", flush=True)
    return 1 if absent else 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _seconds(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in text.split(","))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command goes on from here.\n")
        sys.exit(130)
