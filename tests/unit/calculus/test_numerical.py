import math

import pytest
import torch

from striate.calculus.numerical import default_step, numerical_gradient, wiggle
from striate.errors import ConfigError


def _function(x, w):
    return (torch.sin(x) * w.prod()).sum() + (w**3).sum()


def _inputs():
    source = torch.Generator().manual_seed(3)
    x = torch.randn(2, 5, dtype=torch.float64, generator=source)
    w = torch.randn(3, dtype=torch.float64, generator=source)
    return x, w


@pytest.mark.parametrize(
    # Truncation and rounding of a one-sided difference balance at √ε = 1.5e-8, of a centred one
    # at ε^(2/3) = 4e-11; both times derivatives of order ten.
    ("scheme", "tolerance"),
    [("centred", 1e-9), ("forward", 1e-6), ("backward", 1e-6)],
)
def test_equals_autograd(scheme, tolerance):
    x, w = _inputs()
    leaves = (x.clone().requires_grad_(), w.clone().requires_grad_())
    expected = torch.autograd.grad(_function(*leaves), leaves)
    found = numerical_gradient(_function, x, w, scheme=scheme)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    wrong = (expected[0], expected[1].flip(0))
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(found, wrong, rtol=0, atol=tolerance)


def test_one_sided_differences_err_by_half_the_curvature():
    x = torch.tensor(1.5, dtype=torch.float64)
    (ahead,) = numerical_gradient(lambda x: x**2, x, scheme="forward", step=0.25)
    (behind,) = numerical_gradient(lambda x: x**2, x, scheme="backward", step=0.25)
    (centred,) = numerical_gradient(lambda x: x**2, x, step=0.25)
    assert (ahead.item(), behind.item(), centred.item()) == (3.25, 2.75, 3.0)


def test_inputs_are_left_alone_and_may_be_strided():
    x = torch.randn(3, 4, dtype=torch.float64).t()
    before = x.clone()
    (found,) = numerical_gradient(lambda x: (x**2).sum().mul_(0.5), x)
    assert torch.equal(x, before)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-9)


def test_default_steps_balance_two_errors():
    assert default_step("centred", torch.float64) == pytest.approx(6.06e-6, rel=1e-3)
    assert default_step("forward", torch.float64) == pytest.approx(math.sqrt(2.0**-52))


def test_refuses_what_is_not_a_number():
    x = torch.randn(3, dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"one element; what came has shape \(3,\)"):
        numerical_gradient(lambda x: x * 2, x)
    with pytest.raises(ConfigError, match="above zero"):
        numerical_gradient(lambda x: x.sum(), x, step=-1.0)


def test_wiggling_falls_and_counts_its_cost():
    source = torch.Generator().manual_seed(1)
    wanted = torch.tensor([0.3, -0.8, 0.5, 1.1, -0.2])
    start = torch.zeros(5)
    found = wiggle(
        lambda w: ((w - wanted) ** 2).sum(), start, step=0.1, sweeps=15, generator=source
    )
    assert start.abs().sum() == 0
    assert list(found.values) == sorted(found.values, reverse=True)
    torch.testing.assert_close(found.weights, wanted, rtol=0, atol=1e-5)
    # 3 + 8 + 5 + 11 + 2 steps of 0.1 lead there; each visit costs one evaluation or two.
    assert found.kept == 29
    assert 1 + 15 * 5 <= found.evaluations <= 1 + 15 * 5 * 2


def test_a_wiggle_that_does_not_help_is_taken_back():
    found = wiggle(lambda w: (w**2).sum(), torch.zeros(2, 3), step=0.5)
    assert found.kept == 0
    assert found.evaluations == 1 + 2 * 6
    assert torch.equal(found.weights, torch.zeros(2, 3))
