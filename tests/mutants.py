"""The small faults that `mutation.py` puts into the code, as exact edits of the source."""

import ast
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Mutation", "draw"]

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
