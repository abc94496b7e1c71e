"""The native fully connected layer equals torch's in every way that torch's is used."""

import random

import jaxtyping
import pytest
import torch

from striate import kernels
from striate.kernels.library import ISAS

ROUNDING = 2.0**-24
BOUND = 10


def batch(rows, inputs, outputs, dtype=torch.float32):
    torch.manual_seed(rows + inputs + outputs)
    shapes = (rows, inputs), (outputs, inputs), (outputs,), (rows, outputs)
    return [torch.randn(shape, dtype=dtype) for shape in shapes]


def gradients(function, x, weight, bias, grad):
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@pytest.mark.parametrize("instruction_set", ["none", *ISAS], indirect=True)
def test_sizes_at_random_agree_with_float64(instruction_set):
    rng = random.Random(0)
    sizes = (1, 2, 5, 17, 64, 129, 300)
    for _ in range(25):
        tensors = batch(rng.choice((3, 16, 37, 130, 270)), rng.choice(sizes), rng.choice(sizes))
        results = gradients(kernels.linear, *tensors)
        linear = torch.nn.functional.linear
        exact = gradients(linear, *(t.double() for t in tensors))
        magnitudes = gradients(linear, *(t.double().abs() for t in tensors))
        for a, e, m in zip(results, exact, magnitudes, strict=True):
            assert ((a.double() - e).abs() <= BOUND * ROUNDING * m).all()


def test_more_axes_and_no_bias():
    x, weight, _, _ = batch(24, 7, 5)
    y = kernels.linear(x.unflatten(0, (2, 3, 4)), weight)
    torch.testing.assert_close(y, (x @ weight.t()).unflatten(0, (2, 3, 4)))
    torch.testing.assert_close(kernels.linear(x[0], weight), weight @ x[0])


def test_operands_in_any_layout():
    x, weight, bias, grad = batch(18, 21, 23)
    turned = [t.t().contiguous().t() for t in (x, weight)]
    for a, b in zip(
        gradients(kernels.linear, *turned, bias, grad),
        gradients(kernels.linear, x, weight, bias, grad),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_only_the_gradients_that_are_asked_for():
    *tensors, grad = batch(17, 5, 7)
    for wanted in ([True, False, False], [False, True, False], [False, False, True]):
        leaves = [t.clone().requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
        kernels.linear(*leaves).backward(grad)
        assert [leaf.grad is not None for leaf in leaves] == wanted


def test_gradients_of_gradients():
    def penalty(function, x, weight, bias, _):
        leaves = [t.requires_grad_() for t in (x, weight, bias)]
        first = torch.autograd.grad(function(*leaves).square().sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves)

    ours = penalty(kernels.linear, *batch(20, 6, 4))
    exact = penalty(torch.nn.functional.linear, *(t.double() for t in batch(20, 6, 4)))
    for a, b in zip(ours, exact, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def test_function_transforms_and_autocast_take_torchs_operator():
    x, weight, bias, _ = batch(20, 6, 4)
    each = torch.func.vmap(lambda row: kernels.linear(row, weight, bias))(x)
    torch.testing.assert_close(each, kernels.linear(x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        y = kernels.linear(x, weight, bias)
        assert torch.equal(y, torch.nn.functional.linear(x, weight, bias))


def test_operands_that_do_not_fit_are_refused_as_by_torch(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    x, weight, bias, _ = batch(20, 6, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        kernels.linear(x, weight[:, :5], bias)
    with pytest.raises(RuntimeError, match=r"expand|size"):
        kernels.linear(x, weight, bias[:3])
