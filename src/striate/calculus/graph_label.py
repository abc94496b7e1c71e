"""The labels of operations and numbers in a graph, and the patterns by which gradients pass."""

import re
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

Pattern = Literal["add", "subtract", "mean", "max", "min", "multiply", "divide", ""]

PATTERNS = {
    "add": "add distributes: every input gets the gradient as it comes",
    "subtract": "subtract distributes: what is subtracted gets the gradient with its sign turned, "
    "the other input as it comes",
    "mean": "mean shares: every input gets the same share of the gradient",
    "max": "max routes: the largest input gets the gradient, the others get zero",
    "min": "min routes: the smallest input gets the gradient, the others get zero",
    "multiply": "multiply switches: each input gets the gradient times the other input",
    "divide": "divide scales: the numerator gets the gradient over the denominator, the "
    "denominator that times minus the quotient",
}


def _by_name(names: dict[str, str]) -> dict[str, str]:
    """The key of each of the names, which are parted by spaces."""
    return {name: key for key, of_key in names.items() for name in of_key.split()}


_SIGNS = _by_name(
    {
        "+": "add radd",
        "−": "sub rsub",
        "×": "mul rmul",
        "÷": "div rdiv",
        "^": "pow rpow",
        "@": "matmul",
        "× −1": "neg",
        "σ": "sigmoid",
        "1 ÷": "reciprocal",
        "√": "sqrt",
    }
)
_SYNONYMS = _by_name(
    {
        "add": "iadd",
        "sub": "subtract isub",
        "mul": "multiply imul",
        "div": "divide true_divide truediv itruediv",
        "rdiv": "rtruediv",
        "matmul": "rmatmul",
        "neg": "negative",
        "assign": "setitem",
        "index": "getitem select",
        "max": "maximum amax",
        "min": "minimum amin",
    }
)
_PATTERN_OF: dict[str, Pattern] = {
    **dict.fromkeys(("add", "radd", "sum", "cat", "stack"), "add"),
    **dict.fromkeys(("sub", "rsub"), "subtract"),
    "mean": "mean",
    **dict.fromkeys(("max", "relu", "max_pool1d", "max_pool2d", "max_pool3d"), "max"),
    "min": "min",
    **dict.fromkeys(("mul", "rmul", "neg", "matmul", "bmm", "linear"), "multiply"),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "multiply"),
    **dict.fromkeys(("div", "rdiv"), "divide"),
}

_MOST_WRITTEN = 3
"""Elements of a vector that are written out."""


def number_text(value: float) -> str:
    """A number with four significant digits, a real minus sign and no needless zeros.

    >>> number_text(-12.0), number_text(0.731058), number_text(3e-7)
    ('−12', '0.7311', '3e−07')
    """
    return f"{value:.4g}".replace("-", "−")


def tensor_text(tensor: Tensor | None) -> str:
    """A tensor in a short phrase: its numbers when they are few, else its shape and norm.

    Example:
        >>> import torch
        >>> tensor_text(torch.tensor([1.5, -2.0])), tensor_text(torch.ones(3, 3))
        ('[1.5, −2]', '3×3 ‖3‖')
    """
    if tensor is None:
        return "none"
    if tensor.numel() == 1:
        return number_text(float(tensor))
    if tensor.ndim == 1 and tensor.numel() <= _MOST_WRITTEN:
        return "[" + ", ".join(number_text(float(item)) for item in tensor) + "]"
    shape = "×".join(map(str, tensor.shape))
    return f"{shape} ‖{number_text(float(tensor.double().norm()))}‖"


def pattern_of(name: str) -> Pattern:
    """The pattern of an operation by its plain name."""
    return _PATTERN_OF.get(name, "")


def label_of_function(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, str]:
    """The plain name of a torch function and its label in a graph, constants included.

    >>> import torch
    >>> label_of_function(torch.Tensor.mul, (torch.zeros(2), 3.0))
    ('mul', '× 3')
    """
    plain = getattr(function, "__name__", type(function).__name__)
    if plain == "__get__":  # an attribute such as x.T
        plain = getattr(getattr(function, "__self__", None), "__name__", "attribute")
    return _named(plain, args)


def label_of_grad_fn(name: str) -> tuple[str, str]:
    """The plain name and the label of an operation that is known by its gradient alone.

    >>> label_of_grad_fn("AsStridedBackward0")
    ('as_strided', 'as_strided')
    """
    plain = re.sub(r"(Backward)?\d*$", "", name.rpartition("::")[2])
    return _named(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower(), ())


def _named(plain: str, args: tuple[Any, ...]) -> tuple[str, str]:
    name = plain.strip("_") or plain
    name = _SYNONYMS.get(name, name)
    sign = _SIGNS.get(name, name)
    numbers = [a for a in args if isinstance(a, (int, float)) and not isinstance(a, bool)]
    tensors = [a for a in args if isinstance(a, Tensor)]
    if len(numbers) != 1 or len(tensors) != 1 or name not in _SIGNS:
        return name, sign
    number = number_text(float(numbers[0]))
    turned = name.startswith("r") and name not in ("radd", "rmul", "reciprocal")
    return name, f"{number} {sign}" if turned else f"{sign} {number}"
