"""Winograd's convolutions against float64: bounds of the error, by tile and direction."""

import pytest
import torch

from striate import kernels
from striate.kernels.operators.geometry import Geometry
from striate.kernels.operators.methods import METHODS

# Root mean square of the error over that of the truth; the docs name the same numbers. F(4x4)
# multiplies by up to 5 in its transforms, and its error grows with the square root of the channels.
BOUNDS = {
    "winograd2": {"forward": 5e-7, "data": 5e-7, "weight": 8e-7},
    "winograd4": {"forward": 1.6e-6, "data": 1.8e-6, "weight": 1.8e-6},
}
SHAPES = [
    # B, C, K, H, W, padding: lopsided; the last has one tile of two pixels.
    (2, 17, 35, 13, 10, (1, 1)),
    (3, 64, 40, 9, 8, (0, 2)),
    (2, 130, 96, 7, 8, (1, 1)),
    (5, 3, 6, 1, 4, (2, 0)),
]


def problem(shape, seed=0):
    """Images like those after a rectifier, a kernel, the gradient of the output, the geometry."""
    B, C, K, H, W, padding = shape
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(B, C, H, W, generator=draw).relu()
    weight = torch.randn(K, C, 3, 3, generator=draw) / (3 * C**0.5)
    geometry = Geometry(tuple(x.shape), tuple(weight.shape), padding=padding)
    grad = torch.randn(geometry.output, generator=draw)
    dense = torch.channels_last
    return x.to(memory_format=dense), weight, grad.to(memory_format=dense), geometry


def computed(name, x, weight, grad, geometry):
    method = METHODS[name]
    return {
        "forward": method.forward(x, weight, None, geometry, None),
        "data": method.data(grad, weight, geometry),
        "weight": method.weight(grad, x, weight, geometry, False)[0],
    }


def truth(x, weight, grad, geometry):
    x, weight, grad = (t.double() for t in (x, weight, grad))
    sizes = (None, (1, 1), geometry.padding, (1, 1), False, (0, 0), 1)
    gx, gw, _ = torch.ops.aten.convolution_backward(grad, x, weight, *sizes, (True, True, False))
    return {"forward": torch.conv2d(x, weight, None, 1, geometry.padding), "data": gx, "weight": gw}


def errors(found, expected):
    return {
        name: float((found[name].double() - t).square().mean().sqrt() / t.square().mean().sqrt())
        for name, t in expected.items()
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_error_stays_in_its_bound(instruction_set, name, shape):
    given = problem(shape)
    expected = truth(*given)
    found = errors(computed(name, *given), expected)
    assert all(found[direction] < bound for direction, bound in BOUNDS[name].items()), found


def test_bounds_see_a_kernel_that_is_not_turned(instruction_set):
    x, weight, grad, geometry = problem(SHAPES[0])
    expected = truth(x, weight, grad, geometry)
    found = errors(computed("winograd4", x, weight.flip(2), grad, geometry), expected)
    assert found["forward"] > 0.1
    assert found["data"] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BOUNDS))
@pytest.mark.parametrize("channels", [16, 64, 256, 512])
def test_error_of_the_networks_that_people_train(name, channels):
    if not kernels.available():
        pytest.skip(kernels.why_not())
    # The bounds are of 256 channels; rounding adds up as a random walk over channels.
    given = problem((32, channels, channels, 16, 16, (1, 1)))
    found = errors(computed(name, *given), truth(*given))
    scale = max(1.0, (channels / 256) ** 0.5)
    assert all(found[d] < bound * scale for d, bound in BOUNDS[name].items()), found


def test_identity_of_the_adjoint(instruction_set):
    """<conv(x), g> = <x, conv^T(g)> = <w, weight's gradient>."""
    x, weight, grad, geometry = problem(SHAPES[1])
    got = computed("winograd4", x, weight, grad, geometry)
    products = [
        float((a.double() * b.double()).sum())
        for a, b in ((got["forward"], grad), (got["data"], x), (got["weight"], weight))
    ]
    scale = float(got["forward"].double().norm() * grad.double().norm())
    assert max(products) - min(products) < 1e-6 * scale


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_threads_same_bits(instruction_set, threads):
    given = problem(SHAPES[0])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first = computed("winograd4", *given)
        for _ in range(3):
            again = computed("winograd4", *given)
            assert all(torch.equal(first[name], again[name]) for name in first)
    finally:
        torch.set_num_threads(before)


def test_forward_does_not_depend_on_the_threads(instruction_set):
    x, weight, grad, geometry = problem(SHAPES[2])
    before = torch.get_num_threads()
    outputs = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            outputs.append(computed("winograd4", x, weight, grad, geometry))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(outputs[0]["forward"], outputs[1]["forward"])
    assert torch.equal(outputs[0]["data"], outputs[1]["data"])
