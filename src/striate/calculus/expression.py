"""Formulas as text, "(x+y)*z", turned into tensor operations; the text is never run as code.

Python's own parser gives the tree; what is not in the tables below is refused.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.errors import ConfigError, did_you_mean

_OF_ONE = ("exp", "log", "sin", "cos", "tanh", "sigmoid", "relu", "sqrt", "abs", "sum", "mean")
FUNCTIONS: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "max": (2, torch.maximum),
    "min": (2, torch.minimum),
    **{name: (1, getattr(torch, name)) for name in _OF_ONE},
    "softmax": (1, lambda x: torch.softmax(x, dim=-1)),
}
"""Name -> number of arguments and torch's function."""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
}

LONGEST = 1000
"""Characters; far beyond what a picture can show, far below what Python's parser can stand."""

DEEPEST = 450
"""Nested operations; Python stops at 1000 nested calls, of which others need some."""

LARGEST_POWER = 64


@dataclass(frozen=True)
class Expression:
    """A formula as a function of tensors; called with them in the order of `names`."""

    text: str
    names: tuple[str, ...]
    """The variables, in the order in which the text names them first."""
    _tree: ast.expr

    def __call__(self, *tensors: Tensor) -> Tensor:
        result = _evaluate(self._tree, dict(zip(self.names, tensors, strict=True)))
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
    names: dict[str, None] = {}
    problems: list[str] = []
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        _check(tree, text.strip(), names, problems)
    except SyntaxError as error:
        raise ConfigError(
            f"{text!r} is not an expression: {error.msg}. Write, for example, (x+y)*z."
        ) from None
    except (RecursionError, MemoryError, ValueError):
        raise ConfigError("The expression is nested too deeply to be read.") from None
    if problems:
        raise ConfigError(problems)
    if not names:
        raise ConfigError(f"{text!r} names no variable: there is nothing to differentiate.")
    return Expression(text, tuple(names), tree)


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
            hint = did_you_mean(name, names)
            problems.append(f"The expression has no {name!r}.{hint} It has: {', '.join(names)}.")
    missing = [name for name in names if name not in values]
    if missing:
        wanted = " ".join(f"{name}=..." for name in missing)
        problems.append(f"The expression needs a value for {', '.join(missing)}: add {wanted}")
    if problems:
        raise ConfigError(problems)
    return {name: values[name] for name in names}


def _check(
    node: ast.expr, text: str, names: dict[str, None], problems: list[str], depth: int = 0
) -> None:
    """Collect the variables of a formula, and what in it is not accepted."""
    if depth > DEEPEST:
        raise RecursionError
    words = ast.get_source_segment(text, node) or type(node).__name__
    words = words if len(words) <= 40 else words[:37] + "..."
    inner: list[ast.expr] = []
    match node:
        case ast.BinOp() if type(node.op) in _OPERATORS:
            inner = [node.left, node.right]
            power = _constant(node.right) if isinstance(node.op, ast.Pow) else None
            if power is not None and abs(power) > LARGEST_POWER:
                problems.append(f"{words}: a power beyond {LARGEST_POWER} is not accepted.")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            inner = [node.operand]
        case ast.Name(id=name) if name in FUNCTIONS:
            problems.append(f"{name!r} is a function: write {name}(...), or rename it.")
        case ast.Name(id=name) if name.startswith("_"):
            problems.append(f"{name!r} is not accepted: names begin with a letter.")
        case ast.Name(id=name):
            names[name] = None
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            if (isinstance(value, int) and abs(value) > 2**53) or not math.isfinite(value):
                problems.append(f"{str(value)[:20]} is too large for a number in float64.")
        case ast.List():
            try:
                _evaluate(node, {})
            except (ValueError, TypeError):
                problems.append(f"{words} is not a list of numbers of one length.")
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            count, _ = FUNCTIONS[name]
            if not node.keywords and len(node.args) == count:
                inner = node.args
            else:
                problems.append(
                    f"{name} takes {count} argument{'s' * (count > 1)}; what came is {words}."
                )
        case ast.Call():
            name = ast.get_source_segment(text, node.func) or ""
            hint = did_you_mean(name, FUNCTIONS)
            problems.append(f"There is no function {name}.{hint} Known: {', '.join(FUNCTIONS)}.")
        case _:
            problems.append(
                f"{words} is not accepted; accepted: numbers, names, lists of numbers, "
                f"+ - * / ** @, parentheses and {', '.join(FUNCTIONS)}."
            )
    for child in inner:
        _check(child, text, names, problems, depth + 1)


def _evaluate(node: ast.expr, values: Mapping[str, Tensor]) -> Any:
    """The value of a formula that was checked: a tensor, or a number where it has none."""
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=sign, operand=operand):
            inner = _evaluate(operand, values)
            return -inner if isinstance(sign, ast.USub) else inner
        case ast.BinOp():
            a, b = _evaluate(node.left, values), _evaluate(node.right, values)
            if not isinstance(a, Tensor) and not isinstance(b, Tensor):
                # In tensors an overflow is inf; in Python's numbers it is an error.
                a = torch.tensor(a, dtype=torch.float64)
            return _OPERATORS[type(node.op)](a, b)
        case ast.Call(func=ast.Name(id=name)):
            arguments = (_evaluate(argument, values) for argument in node.args)
            return FUNCTIONS[name][1](*(torch.as_tensor(a, dtype=torch.float64) for a in arguments))
    return torch.tensor(ast.literal_eval(node), dtype=torch.float64)


def _constant(node: ast.expr) -> float | None:
    """The number that an exponent is, signs included; 9**9 and the like count as huge."""
    if isinstance(node, ast.UnaryOp):
        return _constant(node.operand)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(min(abs(node.value), 2**53))
    if isinstance(node, ast.BinOp):
        inner = (_constant(node.left), _constant(node.right))
        return math.inf if None not in inner and isinstance(node.op, ast.Pow) else None
    return None
