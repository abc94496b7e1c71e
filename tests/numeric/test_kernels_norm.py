"""norm_act against torch's separate operators in float64, over shapes, modes and activations."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from striate.kernels.operators.activation import ACTIVATIONS
from striate.kernels.operators.norm import channel_statistics, norm_act

SHAPES = [
    (5, 1, 3, 7),
    (2, 3, 1, 2),
    (3, 7, 5, 2),
    (9, 17, 4, 3),
    (2, 24, 9, 11),
    (7, 130),
    (1, 5, 9),
]


def tensors(shape, residual=True, offset=0.0):
    draw = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=draw) * 2 + offset
    other = torch.randn(shape, generator=draw) if residual else None
    weight, bias = torch.rand(shape[1], generator=draw) + 0.3, torch.randn(shape[1], generator=draw)
    mean, variance = torch.randn(shape[1], generator=draw), torch.rand(shape[1], generator=draw) + 1
    grad = torch.randn(shape, generator=draw)
    return [last(t) for t in (x, other)] + [weight, bias, mean, variance, grad]


def last(t):
    """Channels last in memory, whatever the number of axes."""
    return t if t is None else t.movedim(1, -1).contiguous().movedim(-1, 1)


def results(function, dtype, values):
    """Output, gradients and running statistics."""
    *inputs, mean, variance, grad = [None if v is None else v.to(dtype).clone() for v in values]
    leaves = [v.requires_grad_() for v in inputs if v is not None]
    y = function(*inputs, mean, variance)
    return [y, *torch.autograd.grad(y, leaves, grad.to(dtype)), mean, variance]


def fused(training, activation, **changes):
    return lambda x, r, w, b, m, v: norm_act(
        x, w, b, m, v, training, 0.3, 1e-4, activation, r, **changes
    )


def separate(training, activation):
    def run(x, r, w, b, m, v):
        z = F.batch_norm(x, m, v, w, b, training, 0.3, 1e-4)
        return ACTIVATIONS[activation](z if r is None else z + r)

    return run


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_values_gradients_and_statistics_are_those_of_torch(instruction_set, training, activation):
    for shape, residual in itertools.product(SHAPES, (True, False)):
        values = tensors(shape, residual)
        found = results(fused(training, activation), torch.float32, values)
        wanted = results(separate(training, activation), torch.float64, values)
        theirs = results(separate(training, activation), torch.float32, values)
        for mine, exact, other in zip(found, wanted, theirs, strict=True):
            scale = 1 + exact.abs().max()
            error = (mine - exact).abs().max() / scale
            # Few values a channel make deviations that float32 input itself makes uncertain.
            assert error < 2e-6 + 2 * (other - exact).abs().max() / scale
            assert mine.shape == exact.shape


def test_a_broken_slope_would_be_seen(monkeypatch):
    values = tensors((9, 17, 4, 3))
    wanted = results(separate(True, "gelu"), torch.float64, values)
    found = results(fused(True, "gelu_tanh"), torch.float32, values)
    assert any((a - b).abs().max() > 1e-5 for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("offset", [1e3, -30.0])
def test_a_mean_far_from_zero_costs_no_digits(instruction_set, offset):
    x = last(torch.randn(6, 5, 40, 41) + offset)
    mean, variance = channel_statistics(x)
    exact_variance, exact_mean = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(mean.double(), exact_mean, rtol=1.2e-7, atol=1e-7)
    torch.testing.assert_close(variance.double(), exact_variance, rtol=3e-7, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_of_the_native_path(training):
    values = tensors((3, 5, 4, 2))

    def penalty(dtype):
        x, r, w, b = (v.to(dtype).requires_grad_() for v in values[:4])
        m, v = (t.to(dtype) for t in values[4:6])
        y = norm_act(x, w, b, m, v, training, activation="silu", residual=r)
        (gx,) = torch.autograd.grad((y * values[6].to(dtype)).sum(), x, create_graph=True)
        return torch.autograd.grad(gx.square().sum(), (x, r, w, b))

    for mine, exact in zip(penalty(torch.float32), penalty(torch.float64), strict=True):
        torch.testing.assert_close(mine.double(), exact, rtol=1e-4, atol=1e-4)
