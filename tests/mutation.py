"""Mutation testing: small faults are put into the code, one at a time; do the tests notice?

`make mutation` draws 100 faults by a seed: an operator exchanged, a number changed, a condition
negated, a statement dropped. First the default tests run once under coverage.py, which tells
which tests execute each line; then each fault is put into a copy of the tree, and the tests that
execute its line run, the quickest first, until one fails. The results are JSON lines, so an
interrupted run is continued; they hold for one state of the tree.
"""

import argparse
import difflib
import hashlib
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mutants import Mutation, draw

ROOT = Path(__file__).resolve().parents[1]
COVERAGE = """[run]
include = */src/striate/*
parallel = true
context = ${MUTATION_TEST-}
data_file = ${MUTATION_DATA}
patch = _exit, fork
concurrency = thread
disable_warnings = no-data-collected, module-not-measured, module-not-imported, couldnt-parse
"""
SECONDS_PER_TEST = 180  # a test that runs longer hangs
SECONDS_PER_MUTANT = 1_800
MEMORY = 12 * 2**30


def snapshot(target: Path) -> str:
    """Copy the tree as it stands, with the compiled kernels; the digest of its sources."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    digest = hashlib.sha256()
    native = [str(p.relative_to(ROOT)) for p in (ROOT / "src").rglob("*.so")]
    for name in sorted({*names.split("\0"), *native} - {""}):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
            if name.startswith(("src/striate/", "tests/")) and not name.startswith(
                "tests/mutation"
            ):
                digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()


def pytest(tree: Path, *words: str, seconds: float | None = None, **more: str) -> tuple[int, str]:
    """Exit status and output of pytest in a copy of the tree; 124 when it had to be ended."""
    scratch = tree / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | threads | more
    environment |= {"PYTHONPATH": f"{tree}/src:{tree}/tests", "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    with subprocess.Popen(
        [*command, "--hypothesis-seed=0", "--tb=line"],
        cwd=tree,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            return 124, "time limit"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def record(tree: Path, work: Path, tests: list[str], jobs: int) -> dict[str, Any]:
    """Run all tests once: their seconds, and by file and line those that execute it.

    Tests that an interrupted run has recorded are not run again.
    """
    from coverage import CoverageData
    from coverage.exceptions import DataError

    (work / "coverage.ini").write_text(COVERAGE, encoding="utf-8")
    data = {"MUTATION_DATA": str(work / "coverage"), "MUTATION_SECONDS": str(work / "seconds")}
    start = {"COVERAGE_PROCESS_START": str(work / "coverage.ini"), "MUTATION_TEST": ""}
    words = ["-p", "mutation_recorder", "-n", str(jobs), "--dist", "worksteal", *tests]
    _, output = pytest(tree, *words, **data, **start)
    print(output[-3_000:])
    lines: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part in set(work.glob("coverage.*")) - {work / "coverage.ini"}:
        measured = CoverageData(str(part))
        with suppress(DataError):  # of a process that was killed
            measured.read()
        for name in measured.measured_files():
            path = "src/striate/" + name.split("/src/striate/")[-1]
            for line, contexts in measured.contexts_by_lineno(name).items():
                lines[path][str(line)] += [c for c in contexts if c]
    seconds: dict[str, float] = {}
    for part in work.glob("seconds.*"):
        seconds |= dict(map(json.loads, part.read_text(encoding="utf-8").splitlines()))
    return {"seconds": seconds, "lines": lines}


def select(
    mutation: Mutation, recorded: dict[str, Any], most_seconds: float, tree: Path
) -> list[str]:
    """Tests that execute the line, quick files first; and their neighbours that share a fixture."""
    seconds, lines = recorded["seconds"], recorded["lines"].get(mutation.path, {})
    direct = {t for i in mutation.lines for t in lines.get(str(i), ()) if t in seconds}
    files: dict[str, list[str]] = defaultdict(list)
    total = 0.0
    for test in sorted(direct, key=lambda t: (seconds[t], t)):
        total += seconds[test]
        if total < most_seconds or not files:
            files[test.split("::")[0]].append(test)
    for name, tests in files.items():
        if 'scope="module"' in (tree / name).read_text(encoding="utf-8"):
            tests += [t for t in seconds if t.startswith(f"{name}::") and t not in direct]
    ordered = sorted(files.values(), key=lambda tests: sum(seconds[t] for t in tests))
    return [test for tests in ordered for test in tests]


def judge(mutation: Mutation, tests: list[str], tree: Path, number: int) -> dict[str, Any]:
    """Whether a test fails in the copy `tree` with the mutation in it."""
    path = tree / mutation.path
    source = path.read_bytes()
    old, new = (s.decode().splitlines() for s in (source, mutation.apply(source)))
    result = asdict(mutation) | {"tests": len(tests), "caught": False, "by": ""}
    result["diff"] = list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]
    if not tests:
        return result
    listed = tree / "selected.txt"
    listed.write_text("\n".join(tests), encoding="utf-8")
    limit = [f"faulthandler_timeout={SECONDS_PER_TEST}", "faulthandler_exit_on_timeout=true"]
    words = ["-x", *(word for one in limit for word in ("-o", one)), f"@{listed}"]
    try:
        path.write_bytes(mutation.apply(source))
        os.utime(path, (number, number))  # no compiled file can be of this time
        status, output = pytest(tree, *words, seconds=SECONDS_PER_MUTANT)
    finally:
        path.write_bytes(source)
        os.utime(path, (1, 1))
    if status in (4, 5) and (unchanged := pytest(tree, "--collect-only", f"@{listed}"))[0]:
        raise RuntimeError(f"The tests are not found in the unchanged tree: {unchanged[1][-500:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return result | {"caught": status != 0, "by": failed.group(1) if failed else output[-200:]}


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Counts by folder, then each mutation that no test noticed."""
    yield f"{'folder':<12}{'drawn':>7}{'caught':>8}{'survived':>10}{'never run':>11}"
    folders = [r["path"].split("/")[2] for r in results]
    for folder in [*sorted(set(folders)), "all"]:
        rows = [r for r, f in zip(results, folders, strict=True) if folder in (f, "all")]
        caught, idle = sum(r["caught"] for r in rows), sum(not r["tests"] for r in rows)
        yield f"{folder:<12}{len(rows):>7}{caught:>8}{len(rows) - caught:>10}{idle:>11}"
    for r in results:
        if not r["caught"]:
            yield f"\n{r['path']}:{r['line']} {r['kind']}, {r['tests']} tests run"
            yield from (f"    {line}" for line in r["diff"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Put faults into the code; count those noticed.")
    parser.add_argument("--count", type=int, default=100, help="Number of mutations.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the draw.")
    parser.add_argument("--jobs", type=int, default=2, help="Number of processes.")
    parser.add_argument("--seconds", type=float, default=300, help="Most test time for a mutant.")
    parser.add_argument("--folders", nargs="+", default=["training", "data", "evaluation"])
    parser.add_argument("--tests", nargs="*", default=["tests"], help="Tests to run at all.")
    parser.add_argument("--work", type=Path, default=ROOT / "build/mutation", help="Its results.")
    settings = parser.parse_args()
    work = settings.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        original = Path(temporary) / "original"
        work /= snapshot(original)[:12]
        work.mkdir(exist_ok=True)
        known = work / "recorded.json"
        if not known.exists():
            recorded = record(original, work, settings.tests, settings.jobs)
            known.write_text(json.dumps(recorded), encoding="utf-8")
        recorded = json.loads(known.read_text(encoding="utf-8"))
        done = work / "results.jsonl"
        done.touch()
        rows = map(json.loads, done.read_text(encoding="utf-8").splitlines())
        results = {(r["path"], r["start"], r["end"], r["new"]): r for r in rows}
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(settings.jobs):
            copy = Path(temporary) / f"copy{number}"
            trees.put(
                Path(shutil.copytree(original, copy, ignore=shutil.ignore_patterns("scratch")))
            )
        drawn = draw(original, settings.folders, settings.count, settings.seed)

        def run(number: int) -> dict[str, Any]:
            mutation = drawn[number]
            key = (mutation.path, mutation.start, mutation.end, mutation.new)
            if key not in results:
                tree = trees.get()
                tests = select(mutation, recorded, settings.seconds, original)
                results[key] = judge(mutation, tests, tree, 10 + number)
                trees.put(tree)
                with done.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(results[key]) + "\n")
                verdict = "caught" if results[key]["caught"] else "SURVIVED"
                print(f"{number + 1}: {verdict} {mutation.path}:{mutation.line}", flush=True)
            return results[key]

        with ThreadPoolExecutor(settings.jobs) as pool:
            print("\n".join(table(list(pool.map(run, range(len(drawn)))))))


if __name__ == "__main__":
    main()
