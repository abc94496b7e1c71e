import math

import pytest
import torch

from striate.calculus.expression import FUNCTIONS, parse_expression, parse_values
from striate.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(x+y)*z", -12.0),
        ("x + y*z", -22.0),
        ("-x**2", -4.0),
        ("+y / -z", 1.25),
        ("2**y - 1", 31.0),
        ("max(x, y) + min(y, z) + abs(x)", 3.0),
        ("exp(log(y)) + sin(x) + cos(x)", 5 + math.sin(-2) + math.cos(-2)),
        ("sigmoid(x) + tanh(y) + relu(z)", 1 / (1 + math.exp(2)) + math.tanh(5)),
        ("sqrt(y*y) + sum([1, 2, 3.5] * z) + mean([[1, 2], [3, 4]])", 5 - 26 + 2.5),
        ("sum([1, 2] @ [[1, 2], [3, 4]]) + 0*x", 17.0),
        ("1e3 + 0*x", 1000.0),
    ],
)
def test_value(text, expected):
    known = {"x": -2.0, "y": 5.0, "z": -4.0}
    f = parse_expression(text)
    found = f(*(torch.tensor(known[name], dtype=torch.float64) for name in f.names))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_names_come_in_the_order_of_the_text():
    assert parse_expression("b*a + c*b").names == ("b", "a", "c")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x.grad", r"x.grad is not accepted"),
        ("x.__class__()", r"There is no function x.__class__"),
        ("__import__('os')", r"There is no function __import__"),
        ("_x + 1", "names begin with a letter"),
        ("open(x)", r"There is no function open. Known: max"),
        ("sigmod(x)", "Did you mean 'sigmoid'"),
        ("x if y else z", "is not accepted"),
        ("lambda x: x", "is not accepted"),
        ("[a for a in x]", "is not accepted"),
        ("[x, 1]", "not a list of numbers"),
        ("[[1, 2], [3]]*x", "not a list of numbers of one length"),
        ("x and y", "is not accepted"),
        ("x < y", "is not accepted"),
        ("x // y", "is not accepted"),
        ("x[0]", "is not accepted"),
        ("'a' * x", "is not accepted"),
        ("True * x", "is not accepted"),
        ("x ** 1000", "a power beyond 64"),
        ("x ** -65", "a power beyond 64"),
        ("9 ** 9 ** 9 * x", "a power beyond 64"),
        ("x * 1e999", "too large"),
        (f"x * {10**40}", "too large"),
        ("max(x)", r"max takes 2 arguments; what came is max\(x\)"),
        ("exp(x=1)", "exp takes 1 argument"),
        ("exp * x", "'exp' is a function"),
        ("x +", "is not an expression"),
        ("x = 3", "is not an expression"),
        ("1 + 2", "names no variable"),
        ("x" * 1001, "has 1001 characters"),
        ("(" * 400 + "x" + ")" * 400, r"nested|too many|not an expression"),
    ],
)
def test_everything_else_is_refused(text, match):
    with pytest.raises(ConfigError, match=match):
        parse_expression(text)


def test_all_problems_come_together():
    with pytest.raises(ConfigError) as caught:
        parse_expression("foo(x) + y.z + 2**100")
    assert len(caught.value.problems) == 3


def test_overflow_is_infinite_and_not_an_error():
    f = parse_expression("2**60 * (10**60)**6 * x")
    assert f(torch.tensor(1.0, dtype=torch.float64)).item() == math.inf


def test_every_function_is_differentiable():
    x = torch.tensor([[0.3, 0.8], [1.2, 0.6]], dtype=torch.float64, requires_grad=True)
    for name, (count, _) in FUNCTIONS.items():
        argument = "x" if count == 1 else "x, 2*x - 1"
        parse_expression(f"sum({name}({argument}))")(x).backward()


def test_values():
    values = parse_values(["z=[1, 2.5]", "x=-2"], ("x", "z"))
    assert list(values) == ["x", "z"]
    assert values["z"].tolist() == [1.0, 2.5]
    with pytest.raises(ConfigError) as caught:
        parse_values(["x=two", "weight=1", "w"], ("x", "weights"))
    text = str(caught.value)
    assert "'x=two' gives no number" in text
    assert "Did you mean 'weights'" in text
    assert "needs a value for weights: add weights=..." in text
