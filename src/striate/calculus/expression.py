"""Formulas as text, "(x+y)*z", turned into tensor operations; the text is never run as code.

Python's own parser gives the tree; what is not in the tables below is refused.
"""

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor

from striate.errors import ConfigError, nearest

__all__ = ["FUNCTIONS", "Expression", "parse_expression", "parse_values"]

FUNCTIONS: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "max": (2, torch.maximum),
    "min": (2, torch.minimum),
    "exp": (1, torch.exp),
    "log": (1, torch.log),
    "sin": (1, torch.sin),
    "cos": (1, torch.cos),
    "tanh": (1, torch.tanh),
    "sigmoid": (1, torch.sigmoid),
    "relu": (1, torch.relu),
    "sqrt": (1, torch.sqrt),
    "abs": (1, torch.abs),
    "sum": (1, torch.sum),
    "mean": (1, torch.mean),
    "softmax": (1, lambda x: torch.softmax(x, dim=-1)),
}
"""Name -> number of arguments and torch's function."""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
    ast.MatMult: lambda a, b: a @ b,
}

LONGEST = 1000
"""Characters; far beyond what a picture can show, far below what Python's parser can stand."""

LARGEST_POWER = 64

_Operation = Callable[[Mapping[str, Tensor]], Any]


@dataclass(frozen=True)
class Expression:
    """A formula as a function of tensors; called with them in the order of `names`."""

    text: str
    names: tuple[str, ...]
    """The variables, in the order in which the text names them first."""
    _operation: _Operation

    def __call__(self, *tensors: Tensor) -> Tensor:
        result = self._operation(dict(zip(self.names, tensors, strict=True)))
        return result if isinstance(result, Tensor) else torch.tensor(result, dtype=torch.float64)


def parse_expression(text: str) -> Expression:
    """The function that a formula describes.

    Accepted: numbers, names, lists of numbers, + - * / ** @, parentheses, and the functions
    in `FUNCTIONS`.

    Args:
        text: Formula, such as "1/(1+exp(-(w0*x0+w1*x1+w2)))".

    Raises:
        ConfigError: everything in the text that is not accepted, together.

    Example:
        >>> f = parse_expression("(x+y)*z")
        >>> f.names
        ('x', 'y', 'z')
        >>> f(torch.tensor(-2.0), torch.tensor(5.0), torch.tensor(-4.0)).item()
        -12.0
    """
    if len(text) > LONGEST:
        raise ConfigError(f"The expression has {len(text)} characters; at most {LONGEST}.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        reader = _Reader(text)
        operation = reader.read(tree.body)
    except SyntaxError as error:
        raise ConfigError(
            f"{text!r} is not an expression: {error.msg}. Write, for example, (x+y)*z."
        ) from None
    except (RecursionError, MemoryError, ValueError):
        raise ConfigError("The expression is nested too deeply to be read.") from None
    if reader.problems:
        raise ConfigError(reader.problems)
    if not reader.names:
        raise ConfigError(f"{text!r} names no variable: there is nothing to differentiate.")
    return Expression(text, tuple(reader.names), operation)


def parse_values(words: list[str] | tuple[str, ...], names: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors (float64) for the variables of an expression, in the order of `names`.

    Args:
        words: Words such as "x=-2", "w=[1, 2.5]" or "m=[[1, 2], [3, 4]]".
        names: Variables that need a value.

    Raises:
        ConfigError: words that do not fit, missing and unknown variables, all together.

    Example:
        >>> parse_values(["x=-2"], ("x",))
        {'x': tensor(-2., dtype=torch.float64)}
    """
    problems = []
    values: dict[str, Tensor] = {}
    for word in words:
        name, sign, text = (part.strip() for part in word.partition("="))
        try:
            values[name] = torch.tensor(ast.literal_eval(text), dtype=torch.float64)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            problems.append(f"{word!r} gives no number; write {name or 'x'}=-2 or x=[1, 2].")
            values[name] = torch.zeros(())
        if sign and name not in names:
            near = nearest(name, names)
            hint = f" Did you mean {near!r}?" if near else ""
            problems.append(f"The expression has no {name!r}.{hint} It has: {', '.join(names)}.")
    missing = [name for name in names if name not in values]
    if missing:
        wanted = " ".join(f"{name}=..." for name in missing)
        problems.append(f"The expression needs a value for {', '.join(missing)}: add {wanted}")
    if problems:
        raise ConfigError(problems)
    return {name: values[name] for name in names}


class _Reader:
    """Turns a syntax tree into nested functions, and gathers what it refuses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        self.problems: list[str] = []

    def read(self, node: ast.expr) -> _Operation:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return self._binary(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self._unary(node)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Constant) and _is_number(node.value):
            return self._number(node.value)
        if isinstance(node, ast.List):
            return self._matrix(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        return self._refuse(
            f"{self._words(node)} is not accepted; accepted: numbers, names, lists of numbers, "
            f"+ - * / ** @, parentheses and {', '.join(FUNCTIONS)}."
        )

    def _binary(self, node: ast.BinOp) -> _Operation:
        left, right = self.read(node.left), self.read(node.right)
        operator = _OPERATORS[type(node.op)]
        if isinstance(node.op, ast.Pow):
            power = _constant(node.right)
            if power is not None and abs(power) > LARGEST_POWER:
                return self._refuse(
                    f"{self._words(node)}: a power beyond {LARGEST_POWER} is not accepted."
                )

        def apply(values: Mapping[str, Tensor]) -> Any:
            a, b = left(values), right(values)
            if not isinstance(a, Tensor) and not isinstance(b, Tensor):
                # In tensors an overflow is inf; in Python's numbers it is an error.
                a = torch.tensor(a, dtype=torch.float64)
            return operator(a, b)

        return apply

    def _unary(self, node: ast.UnaryOp) -> _Operation:
        inner = self.read(node.operand)
        negative = isinstance(node.op, ast.USub)
        return lambda values: -inner(values) if negative else inner(values)

    def _name(self, name: str) -> _Operation:
        if name in FUNCTIONS:
            return self._refuse(f"{name!r} is a function: write {name}(...), or rename it.")
        if name.startswith("_"):
            return self._refuse(f"{name!r} is not accepted: names begin with a letter.")
        if name not in self.names:
            self.names.append(name)
        return lambda values: values[name]

    def _number(self, value: int | float) -> _Operation:
        if (isinstance(value, int) and abs(value) > 2**53) or not math.isfinite(value):
            return self._refuse(f"{str(value)[:20]} is too large for a number in float64.")
        return lambda values: float(value)

    def _matrix(self, node: ast.List) -> _Operation:
        try:
            matrix = torch.tensor(ast.literal_eval(node), dtype=torch.float64)
        except (ValueError, TypeError):
            return self._refuse(f"{self._words(node)} is not a list of numbers of one length.")
        return lambda values: matrix

    def _call(self, node: ast.Call) -> _Operation:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = self._words(node.func)
            near = nearest(name, FUNCTIONS)
            hint = f" Did you mean {near!r}?" if near else ""
            return self._refuse(
                f"There is no function {name}.{hint} Known: {', '.join(FUNCTIONS)}."
            )
        count, function = FUNCTIONS[node.func.id]
        if node.keywords or len(node.args) != count:
            return self._refuse(
                f"{node.func.id} takes {count} argument{'s' * (count > 1)}; what came is "
                f"{self._words(node)}."
            )
        inner = [self.read(argument) for argument in node.args]

        def apply(values: Mapping[str, Tensor]) -> Tensor:
            arguments = (operation(values) for operation in inner)
            return function(*(torch.as_tensor(a, dtype=torch.float64) for a in arguments))

        return apply

    def _refuse(self, problem: str) -> _Operation:
        self.problems.append(problem)
        return lambda values: values

    def _words(self, node: ast.expr) -> str:
        words = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return words if len(words) <= 40 else words[:37] + "..."


def _is_number(value: object) -> TypeGuard[int | float]:
    return type(value) in (int, float)


def _constant(node: ast.expr) -> float | None:
    """The number that an exponent is, signs included; 9**9 and the like count as huge."""
    if isinstance(node, ast.UnaryOp):
        return _constant(node.operand)
    if isinstance(node, ast.Constant) and _is_number(node.value):
        return float(min(abs(node.value), 2**53))
    if isinstance(node, ast.BinOp):
        inner = (_constant(node.left), _constant(node.right))
        return math.inf if None not in inner and isinstance(node.op, ast.Pow) else None
    return None
