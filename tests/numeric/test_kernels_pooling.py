"""max_pool2d against torch's: bit for bit forward, ties and NaN included, and backward."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from striate import kernels

WINDOWS = [
    (2, 2, 0, 1),
    (2, 3, 0, 1),
    (3, 2, 1, 1),
    (3, 1, 1, 1),
    ((3, 2), (2, 3), (1, 0), 1),
    (2, 2, 1, (2, 1)),
    (5, 3, 2, 1),
]
SHAPES = [(2, 1, 5, 7), (1, 3, 4, 1), (3, 17, 12, 9), (2, 24, 6, 5), (1, 64, 7, 3)]


def grid(shape, seed):
    """Few different values: most windows have ties."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 5, shape, generator=draw).float()
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_values_and_gradients_are_those_of_torch(instruction_set, window, ceil_mode):
    met = 0
    for seed, shape in enumerate(SHAPES):
        try:
            F.max_pool2d(torch.empty(shape, device="meta"), *window, ceil_mode)
        except RuntimeError:
            continue
        met += 1
        x = grid(shape, seed)
        x[torch.rand(shape) < 0.1] = -torch.inf
        x[torch.rand(shape) < 0.05] = torch.nan
        x.requires_grad_()
        mine = kernels.max_pool2d(x, *window, ceil_mode)
        theirs = F.max_pool2d(x, *window, ceil_mode)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)
        grad = torch.randn(mine.shape)
        torch.testing.assert_close(
            *(torch.autograd.grad(y, x, grad)[0] for y in (mine, theirs)), rtol=1e-6, atol=1e-6
        )
    assert met >= 3


def test_the_last_of_equals_would_be_seen():
    x = grid((3, 17, 12, 9), 2).requires_grad_()
    mine = torch.autograd.grad(kernels.max_pool2d(x, 3, 2, 1).sum(), x)[0]
    turned = torch.autograd.grad(F.max_pool2d(x.flip(2, 3), 3, 2, 1).sum(), x)[0]
    assert not torch.equal(mine, turned)


def test_second_derivatives_are_those_of_torch():
    # Values a fortieth apart: no two are equal.
    values = torch.randperm(2 * 3 * 5 * 7).double().view(2, 3, 5, 7) / 40

    def penalty(pool, x, window):
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        (slope,) = torch.autograd.grad(pool(x, *window).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    for window in ((2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 2, 1, (2, 1))):
        mine = penalty(kernels.max_pool2d, values.float(), window)
        exact = penalty(F.max_pool2d, values, window)
        torch.testing.assert_close(mine.double(), exact, rtol=1e-5, atol=1e-5)


def test_vmap_meta_and_windows_beyond_a_byte():
    x = grid((3, 2, 40, 41), 5)
    for i, row in enumerate(torch.func.vmap(lambda v: kernels.max_pool2d(v, 2))(x[:, None])):
        assert torch.equal(row[0], F.max_pool2d(x, 2)[i])
    assert kernels.max_pool2d(x.to("meta"), 3, 2, 1).shape == (3, 2, 20, 21)
    assert torch.equal(kernels.max_pool2d(x, 17), F.max_pool2d(x, 17))


def test_same_bits_for_any_number_of_threads():
    x, found = torch.randn(5, 24, 63, 61).contiguous(memory_format=torch.channels_last), []
    try:
        for threads in itertools.chain((1, 2), (3,)):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            y = kernels.max_pool2d(leaf, 3, 2, 1)
            found.append((y, torch.autograd.grad(y.square().sum(), leaf)[0]))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for one in found[1:] for a, b in zip(found[0], one, strict=True))
