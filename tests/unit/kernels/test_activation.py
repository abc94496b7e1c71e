"""activate as an operator: modes of torch, layouts, numbers that are none, mistakes."""

import pytest
import torch

from striate import kernels
from striate.errors import ConfigError
from striate.kernels.operators import activation
from striate.kernels.operators.activation import ACTIVATIONS

NAMES = ("gelu", "gelu_tanh", "silu", "tanh")


def values(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_name_is_torchs_activation(name):
    x = values(301, 223)
    torch.testing.assert_close(
        kernels.activate(x, name), ACTIVATIONS[name](x), rtol=1e-5, atol=1e-6
    )
    exact = x.double()
    assert torch.equal(kernels.activate(exact, name), ACTIVATIONS[name](exact))
    assert torch.equal(kernels.activate(x[:3], name), ACTIVATIONS[name](x[:3]))  # few values


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_and_what_is_endless(name, monkeypatch):
    monkeypatch.setattr(activation, "LEAST_VALUES", dict.fromkeys(NAMES, 1))
    x = values(301, 223)
    x[0, 0], x[0, 1] = float("nan"), float("inf")
    y = kernels.activate(x, name)
    assert y[0, 0].isnan()
    assert y[0, 1] == (1 if name == "tanh" else float("inf"))
    assert y.isnan().sum() == 1
    leaf = x.requires_grad_()
    assert torch.autograd.grad(kernels.activate(leaf, name).sum(), leaf)[0].isnan().sum() == 1


def test_same_bits_for_any_number_of_threads():
    x = values(301, 517)
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(kernels.activate(x, "tanh"))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(found[0], other) for other in found)


def test_tanh_keeps_its_output_and_no_input():
    x = values(301, 223).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = kernels.activate(x, "tanh")
    assert [t.data_ptr() for t in kept] == [y.data_ptr()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch by itself
def test_function_transforms(name):
    x = values(301, 223)
    torch.testing.assert_close(
        torch.func.vmap(lambda v: kernels.activate(v, name))(x), ACTIVATIONS[name](x)
    )
    value, slope = torch.func.jvp(lambda v: kernels.activate(v, name), (x,), (torch.ones_like(x),))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(kernels.activate(leaf, name).sum(), leaf)
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(value, ACTIVATIONS[name](x))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_gradients(name):
    x = values(301, 223)

    def penalty(x):
        (slope,) = torch.autograd.grad(kernels.activate(x, name).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    exact = penalty(x.double().requires_grad_())
    torch.testing.assert_close(penalty(x.requires_grad_()).double(), exact, rtol=1e-3, atol=1e-4)


def test_other_devices_take_torchs_operator():
    assert kernels.activate(torch.empty(90, 100, device="meta"), "tanh").shape == (90, 100)


def test_a_name_that_does_not_exist():
    with pytest.raises(ConfigError, match=r"tahn.*Did you mean 'tanh'"):
        kernels.activate(values(2, 3), "tahn")
