"""Gathered and depthwise convolutions against float64 and torch, over shapes drawn at random."""

import random

import pytest
import torch

from striate import kernels
from striate.kernels.operators.geometry import Geometry
from striate.kernels.operators.methods import METHODS

ROUNDING = 2.0**-24
"""Half a unit in the last place of a float32 near one."""

BOUND = 10
"""Roundings of the terms' magnitudes that a sum may be wrong by; about 5 are seen."""


def images(*shape):
    B, C, H, W = shape
    return torch.randn(B, H, W, C).permute(0, 3, 1, 2)


def draw(seed, depthwise):
    """A geometry at random: (geometry, whether the weight is channels_last, threads)."""
    rng = random.Random(seed)
    pair = lambda *choices: (rng.choice(choices), rng.choice(choices))  # noqa: E731
    while True:
        groups = rng.choice([1, 1, 1, 2, 3])
        C, K = rng.choice([1, 3, 5, 16, 24, 65, 200, 450]), rng.choice([1, 6, 10, 17, 32, 70, 130])
        kernel = pair(1, 2, 3, 4, 5)
        if depthwise:
            C, K, kernel = 1, 1, rng.choice([(3, 3), (5, 5), (3, 5), (7, 7), (1, 3), (4, 2)])
            groups = rng.choice([2, 3, 8, 17, 32, 50])
        geometry = Geometry(
            (rng.choice([1, 2, 3]), C * groups, rng.randint(1, 14), rng.randint(1, 14)),
            (K * groups, C, *kernel),
            stride=pair(1, 1, 2, 3),
            padding=pair(0, 1, 2, 3),
            dilation=pair(1, 1, 2),
            groups=groups,
        )
        if min(geometry.output) > 0 and C * K * kernel[0] * kernel[1] < 100_000:
            return geometry, rng.random() < 0.5, rng.choice([1, 2, 3, 5])


def by_torch(geometry, x, weight, bias, grad):
    """Output and gradients by torch's operators: y, gx, gw, gb."""
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    y = torch.conv2d(*leaves, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


def natively(name, geometry, x, weight, bias, grad):
    method = METHODS[name]
    gw, gb = method.weight(grad, x, weight, geometry, True)
    return [
        method.forward(x, weight, bias, geometry, None),
        method.data(grad, weight, geometry),
        gw,
        gb,
    ]


def roundings(results, exact, magnitudes):
    """The worst error of each result in roundings of its terms' magnitudes."""
    return [
        float(((a.double() - e).abs() / m.clamp_min(1e-30)).max()) / ROUNDING
        for a, e, m in zip(results, exact, magnitudes, strict=True)
    ]


def operands(geometry, last, seed):
    torch.manual_seed(seed)
    weight = torch.randn(geometry.weight)
    if last:
        weight = weight.contiguous(memory_format=torch.channels_last)
    return images(*geometry.x), weight, torch.randn(geometry.weight[0]), images(*geometry.output)


@pytest.fixture
def threads():
    """Sets the number of threads; the old one comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["direct", "depthwise"])
def test_shapes_at_random_agree_with_float64(instruction_set, threads, name):
    for seed in range(24):
        geometry, last, count = draw(seed, name == "depthwise")
        tensors = operands(geometry, last, seed)
        exact = by_torch(geometry, *(t.double() for t in tensors))
        magnitudes = by_torch(geometry, *(t.double().abs() for t in tensors))
        threads(count)
        results = natively(name, geometry, *tensors)
        assert results[2].stride() == tensors[1].stride()
        worst = roundings(results, exact, magnitudes)
        assert max(worst) < BOUND, (geometry, count, worst)


def test_the_bound_notices_one_wrong_term():
    geometry, last, _ = draw(3, depthwise=False)
    x, weight, bias, grad = operands(geometry, last, 3)
    exact = by_torch(geometry, *(t.double() for t in (x, weight, bias, grad)))
    magnitudes = by_torch(geometry, *(t.double().abs() for t in (x, weight, bias, grad)))
    weight = weight.clone()
    weight[-1, -1, -1, -1] += 1e-3
    assert (
        roundings(natively("direct", geometry, x, weight, bias, grad), exact, magnitudes)[0]
        > 3 * BOUND
    )


def test_a_layer_of_two_threads_and_many_pixels_repeats_bit_for_bit(instruction_set, threads):
    for name, geometry in (
        ("direct", Geometry((5, 19, 23, 29), (37, 19, 3, 3), (2, 1), (1, 2))),
        ("depthwise", Geometry((5, 37, 23, 29), (37, 1, 5, 5), (1, 1), (2, 2), groups=37)),
    ):
        tensors = operands(geometry, False, 0)
        threads(2)
        first, again = (natively(name, geometry, *tensors) for _ in range(2))
        assert all(map(torch.equal, first, again))
        threads(1)
        alone = natively(name, geometry, *tensors)
        # Outputs and the data's gradients do not depend on the number of threads at all.
        assert torch.equal(alone[0], first[0])
        assert torch.equal(alone[1], first[1])


def test_reads_nothing_beyond_the_tensors(instruction_set):
    # What lies behind a tensor is not a number: a kernel that lets it in gives one.
    geometry = Geometry((1, 3, 5, 7), (6, 3, 3, 3), (1, 1), (1, 1))
    tensors = [surrounded(t) for t in operands(geometry, True, 0)]
    for result in natively("direct", geometry, *tensors):
        assert torch.isfinite(result).all()


def surrounded(tensor):
    """The same values and strides amid numbers that are none."""
    size = tensor.numel()
    store = torch.full((size + 64,), float("nan"))
    copy = store.as_strided(tensor.shape, tensor.stride(), 32)
    copy.copy_(tensor)
    return copy


def test_methods_say_what_they_do():
    plain = Geometry((2, 3, 9, 8), (5, 3, 7, 7), (2, 2), (3, 3))
    alone = Geometry((2, 6, 9, 8), (6, 1, 3, 3), padding=(1, 1), groups=6)
    nothing = Geometry((2, 3, 2, 2), (5, 3, 7, 7))
    for direction in ("forward", "data", "weight"):
        assert METHODS["direct"].supports(plain, direction) == kernels.available()
        assert METHODS["depthwise"].supports(alone, direction) == kernels.available()
        assert not METHODS["direct"].supports(alone, direction)
        assert not METHODS["depthwise"].supports(plain, direction)
        assert not METHODS["direct"].supports(nothing, direction)
