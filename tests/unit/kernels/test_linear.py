"""The native fully connected layer equals torch's in every way that torch's is used."""

import random

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


@pytest.mark.parametrize("call", [kernels.linear, torch.ops.striate.linear])
def test_gradients_and_their_gradients(call):
    leaves = [t.requires_grad_() for t in batch(3, 4, 2, torch.float64)[:3]]
    assert torch.autograd.gradcheck(call, leaves)
    assert torch.autograd.gradgradcheck(call, leaves)


def test_operator_checks():
    x, weight, bias, _ = batch(17, 5, 7)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        torch.ops.striate.linear, (x.requires_grad_(), weight, bias), test_utils=checks
    )


def test_function_transforms_and_autocast():
    x, weight, bias, _ = batch(20, 6, 4)
    each = torch.func.vmap(lambda row: kernels.linear(row, weight, bias))(x)
    torch.testing.assert_close(each, kernels.linear(x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        y = kernels.linear(x.bfloat16(), weight, bias)
    assert y.dtype == torch.float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_whole():
    tensors = batch(20, 6, 4)
    compiled = torch.compile(
        lambda *a: torch.ops.striate.linear(*a), fullgraph=True, backend="aot_eager"
    )
    for a, b in zip(
        gradients(compiled, *tensors), gradients(kernels.linear, *tensors), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_operands_that_do_not_fit_are_refused_as_by_torch():
    x, weight, bias, grad = batch(20, 6, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torch.ops.striate.linear(x, weight[:, :5], bias)
    with pytest.raises(RuntimeError, match=r"expand|size"):
        torch.ops.striate.linear(x, weight, bias[:3])
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torch.ops.striate.linear_data(grad[:, :3], weight)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torch.ops.striate.linear_weight(grad[:17], x)
