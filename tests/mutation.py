"""Mutation testing: small faults are put into the code, one at a time; do the tests notice?

`make mutation` draws 100 faults by a seed: an operator exchanged, a number changed, a condition
negated, a statement dropped. First the default tests run once under coverage.py, which tells
which tests execute each line; then each fault is put into a copy of the tree, and the tests that
execute its line run, the quickest first, until one fails. The results are JSON lines, so an
interrupted run is continued; they hold for one state of the tree.
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import queue
import random
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXCHANGED = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "+"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.MatMult: ("@", "+"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
NOT_MUTATED_KEYWORDS = {"strict", "stacklevel", "text", "doc", "help"}
"""Keyword arguments that tell people something or only check the caller."""
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


@dataclass(frozen=True)
class Mutation:
    """An edit of one file: source[start:end] becomes `new`."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    new: str
    lines: tuple[int, ...]
    """Those whose tests can notice it."""

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


class Candidates(ast.NodeVisitor):
    """All mutations of one file."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.offsets = [0]
        for line in source.splitlines(keepends=True):
            self.offsets.append(self.offsets[-1] + len(line))
        self.tree = ast.parse(source)
        functions = [n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef)]
        self.in_functions = {i for f in functions for n in f.body for i in span(n)}
        self.bound: set[str] = set()
        self.lines: tuple[int, ...] = ()
        self.found: list[Mutation] = []
        self.visit(self.tree)

    def at(self, node: Any, *, end: bool = False) -> int:
        line, column = (
            (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)
        )
        return self.offsets[line - 1] + column

    def add(self, kind: str, node: Any, start: int, end: int, new: str) -> None:
        self.found.append(Mutation(self.path, node.lineno, kind, start, end, new, self.lines))

    def exchange(self, op: Any, left: Any, right: Any) -> None:
        if type(op) not in EXCHANGED:
            return
        old, new = EXCHANGED[type(op)]
        start, end = self.at(left, end=True), self.at(right)
        pattern = rb"\s+".join(re.escape(word).encode() for word in old.split())
        match = re.search(pattern, self.source[start:end])
        if match:
            begin = start + match.start()
            self.add("operator", right, begin, begin + len(match.group()), new)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            self.bound = {a.arg for a in arguments}
        if isinstance(node, ast.stmt):
            header = span(node)
            body = getattr(node, "body", None)
            if body:
                header = [i for i in header if i < body[0].lineno] or [node.lineno]
            if isinstance(node, ast.FunctionDef):
                header = [*header, *span(node)]
            self.lines = tuple(header)
            if not set(header) & self.in_functions and not isinstance(node, ast.FunctionDef):
                self.lines = (*header, *sorted(self.in_functions))
            self.statement(node)
        self.expression(node)
        self.children(node)

    def children(self, node: ast.AST) -> None:
        lines = self.lines
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "msg", "exc", "cause", "keys"):
                continue
            for child in value if isinstance(value, list) else [value]:
                skipped = isinstance(child, ast.JoinedStr) or (
                    isinstance(child, ast.keyword) and child.arg in NOT_MUTATED_KEYWORDS
                )
                if isinstance(child, ast.AST) and not skipped:
                    self.lines = lines
                    self.visit(child)

    def statement(self, node: ast.stmt) -> None:
        dropped = isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break)
        if isinstance(node, ast.Expr):
            dropped = not isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Assign):
            names = {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            plain = isinstance(node.targets[0], ast.Name | ast.Tuple)
            dropped = not plain or names <= self.bound
            self.bound |= names
        if dropped:
            self.add("statement", node, self.at(node), self.at(node, end=True), "pass")
        if isinstance(node, ast.If | ast.While):
            self.negate(node.test)

    def negate(self, test: ast.expr) -> None:
        start, end = self.at(test), self.at(test, end=True)
        self.add("condition", test, start, end, f"not ({self.source[start:end].decode()})")

    def expression(self, node: ast.AST) -> None:
        match node:
            case ast.BinOp(left=left, op=op, right=right) if not (is_text(left) or is_text(right)):
                self.exchange(op, left, right)
            case ast.Compare(left=left, ops=ops, comparators=right):
                for op, before, after in zip(ops, [left, *right], right, strict=False):
                    self.exchange(op, before, after)
            case ast.BoolOp(op=op, values=[left, right, *_]):
                if len(node.values) == 2:
                    self.exchange(op, left, right)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                word = 3 if isinstance(node.op, ast.Not) else 1
                self.add("operator", node, self.at(node), self.at(node) + word, "")
            case ast.IfExp(test=test):
                self.negate(test)
            case ast.Call(func=ast.Name(id="min" | "max" as name)):
                new = "max" if name == "min" else "min"
                self.add("operator", node, self.at(node), self.at(node) + 3, new)
            case ast.Constant(value=bool() as value):
                self.add("constant", node, self.at(node), self.at(node, end=True), str(not value))
            case ast.Constant(value=int() | float() as value):
                new = repr(value + 1 if isinstance(value, int) or value == 0 else value * 2)
                self.add("constant", node, self.at(node), self.at(node, end=True), new)


def span(node: Any) -> list[int]:
    return list(range(node.lineno, node.end_lineno + 1))


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def draw(tree: Path, folders: list[str], count: int, seed: int) -> list[Mutation]:
    """Mutations of all files of the folders; those that leave the compiled code equal are not
    drawn."""
    paths = sorted(p for f in folders for p in (tree / "src/striate" / f).rglob("*.py"))
    found: list[Mutation] = []
    for path in paths:
        if path.name != "__init__.py":
            found += Candidates(str(path.relative_to(tree)), path.read_bytes()).found
    found = random.Random(seed).sample(found, len(found))
    return [m for m, _ in zip(filter(lambda m: changes(tree, m), found), range(count))]  # noqa: B905


def changes(tree: Path, mutation: Mutation) -> bool:
    source = (tree / mutation.path).read_bytes()
    try:
        new, old = (compile(s, "f", "exec") for s in (mutation.apply(source), source))
    except SyntaxError:
        return False
    return new != old


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
            trees.put(Path(shutil.copytree(original, Path(temporary) / f"copy{number}")))
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
