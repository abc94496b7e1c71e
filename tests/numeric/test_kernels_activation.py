"""Native activations against float64: digits over the whole range, slopes, second derivatives."""

import pytest
import torch

from striate import kernels
from striate.kernels.operators import activation
from striate.kernels.operators.activation import ACTIVATIONS

# Largest error relative to the value, from -1 up; the docs name the same numbers.
BOUNDS = {"gelu": 5e-7, "gelu_tanh": 5e-7, "silu": 3e-7, "tanh": 4e-7}
NAMES = list(BOUNDS)


@pytest.fixture(autouse=True)
def native_for_all_sizes(monkeypatch):
    monkeypatch.setattr(activation, "LEAST_VALUES", dict.fromkeys(ACTIVATIONS, 1))


def points():
    """All sizes from 1e-30 to 30 and both signs, dense around zero."""
    draw = torch.Generator().manual_seed(0)
    sizes = 10 ** (torch.rand(20_001, generator=draw) * 31.5 - 30)
    even = torch.linspace(-12, 12, 60_001)
    return torch.cat([even, sizes, -sizes])


def derivative(x, name, grad):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(kernels.activate(leaf, name), leaf, grad)[0]


def by_definition(x, name):
    """In float64 and not by torch's own activations, whose tails have few digits."""
    match name:
        case "tanh":
            return torch.expm1(2 * x) / (torch.expm1(2 * x) + 2)
        case "silu":
            return x / (1 + torch.exp(-x))
        case "gelu":
            return x * 0.5 * torch.erfc(-x / 2**0.5)
    inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
    return x / (1 + torch.exp(-2 * inner))


@pytest.mark.parametrize("name", NAMES)
def test_values_have_nearly_all_digits_of_float32(instruction_set, name):
    x = points()
    exact, found = by_definition(x.double(), name), kernels.activate(x, name)
    error = (found.double() - exact).abs()
    shown = x >= (-12 if name == "tanh" else -1)
    assert (error / exact.abs())[shown & (x != 0)].max() < BOUNDS[name]
    assert error.max() < 2e-6  # far below zero the values themselves vanish
    assert found.abs().max() <= (1 if name == "tanh" else x.max())


@pytest.mark.parametrize("name", NAMES)
def test_slopes(instruction_set, name):
    x = points()
    draw = torch.Generator().manual_seed(1)
    grad = torch.randn(x.shape, generator=draw)
    exact = x.double().requires_grad_()
    (wanted,) = torch.autograd.grad(by_definition(exact.clamp(min=-20), name), exact, grad.double())
    found = derivative(x, name, grad)
    assert ((found.double() - wanted).abs() / grad.abs().clamp(min=1)).max() < 3e-6
    torch.testing.assert_close(found, derivative(x, name, torch.ones_like(x)) * grad)


def test_one_activation_for_another_would_be_seen():
    x = points()
    gap = kernels.activate(x, "gelu") - by_definition(x.double(), "gelu_tanh")
    assert gap.abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_layouts_and_odd_sizes_are_those_of_torch(instruction_set, name):
    whole = torch.randn(7, 19, 23, 11)
    views = [
        whole,
        whole.contiguous(memory_format=torch.channels_last),
        whole.transpose(0, 2),
        whole[:, ::2, 1:, :9],
        whole[0].flatten()[1:].repeat(3),
        whole[:, :1].expand(7, 5, 23, 11),
    ]
    for x in views:
        y = kernels.activate(x, name)
        torch.testing.assert_close(y, ACTIVATIONS[name](x), rtol=1e-5, atol=1e-6)
        assert y.stride() == torch.empty_like(x).stride()
        leaf, grad = x.clone().requires_grad_(), torch.randn(x.shape)
        mine = torch.autograd.grad(kernels.activate(leaf, name), leaf, grad)
        theirs = torch.autograd.grad(ACTIVATIONS[name](leaf), leaf, grad)
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_of_the_native_path(name):
    x, grad = torch.randn(97, 101), torch.randn(97, 101)

    def penalty(dtype, call):
        leaf, g = x.to(dtype).requires_grad_(), grad.to(dtype)
        (first,) = torch.autograd.grad(call(leaf, name), leaf, g, create_graph=True)
        return torch.autograd.grad(first.square().sum(), leaf)[0]

    mine, exact = (
        penalty(torch.float32, kernels.activate),
        penalty(torch.float64, lambda x, name: ACTIVATIONS[name](x)),
    )
    torch.testing.assert_close(mine.double(), exact, rtol=1e-4, atol=1e-4)
