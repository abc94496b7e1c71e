"""The convolution of named methods equals torch's in every way that torch's is used."""

import warnings

import jaxtyping
import pytest
import torch

from striate import kernels
from striate.errors import ConfigError
from striate.kernels.library import ISAS
from striate.kernels.operators.geometry import Geometry
from striate.kernels.operators.methods import METHODS

WINOGRAD = "winograd4,winograd2,winograd4"


def batch(dtype=torch.float32, seed=0):
    """x, weight, bias and the gradient of the output, all sides different."""
    draw = torch.Generator().manual_seed(seed)
    sizes = (2, 5, 9, 7), (4, 5, 3, 3), (4,), (2, 4, 7, 9)
    return [torch.randn(size, generator=draw, dtype=dtype) for size in sizes]


def run(x, weight, bias, methods=WINOGRAD):
    return kernels.convolution(x, weight, bias, padding=(0, 2), methods=methods)


def by_torch(x, weight, bias):
    return torch.conv2d(x, weight, bias, padding=(0, 2))


def gradients(function, x, weight, bias, grad):
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@pytest.mark.parametrize("instruction_set", ["none", *ISAS], indirect=True)
@pytest.mark.parametrize("channels_last", [True, False])
def test_values_and_gradients_are_torchs(instruction_set, channels_last):
    x, weight, bias, grad = batch()
    if channels_last:
        x, weight, grad = (
            t.contiguous(memory_format=torch.channels_last) for t in (x, weight, grad)
        )
    ours = gradients(run, x, weight, bias, grad)
    theirs = gradients(by_torch, *(t.double() for t in (x, weight, bias, grad)))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=3e-5 * float(b.abs().max()))
    assert ours[2].stride() == weight.stride()


def test_only_the_gradients_that_are_asked_for():
    x, weight, bias, grad = batch()
    for wanted in ([True, False, False], [False, True, False], [False, False, True]):
        leaves = [
            t.clone().requires_grad_(w) for t, w in zip((x, weight, bias), wanted, strict=True)
        ]
        run(*leaves).backward(grad)
        assert [leaf.grad is not None for leaf in leaves] == wanted


def test_other_number_types_and_devices_take_torchs_operator():
    x, weight, bias, _ = batch(torch.float64)
    torch.testing.assert_close(run(x, weight, bias), by_torch(x, weight, bias))
    meta = run(*(t.to("meta") for t in (x, weight, bias)))
    assert meta.shape == (2, 4, 7, 9)
    assert meta.device.type == "meta"


def test_second_gradient_in_single_precision():
    def penalty(function, x, weight, bias, _):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        first = torch.autograd.grad(function(*leaves).square().sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves)

    ours, theirs = (penalty(function, *batch()) for function in (run, by_torch))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def test_function_transforms_fall_back_to_torch():
    x, weight, bias, _ = batch()
    each = torch.func.vmap(lambda image: run(image[None], weight, bias)[0])(x)
    torch.testing.assert_close(each, by_torch(x, weight, bias))
    gradient = torch.func.grad(lambda w: run(x, w, bias).square().sum())(weight)
    expected = torch.func.grad(lambda w: by_torch(x, w, bias).square().sum())(weight)
    torch.testing.assert_close(gradient, expected)


def test_autocast_takes_torchs_operator():
    x, weight, bias, _ = batch()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(x, weight, bias), by_torch(x, weight, bias))


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = map(torch.nn.Parameter, batch()[1:3])

    def forward(self, x):
        return run(x, self.weight, self.bias)


def test_exports_as_the_ordinary_operator():
    x, layer = batch()[0], Layer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(layer, (x,))
    assert "aten.conv2d" in str(exported.graph)
    torch.testing.assert_close(exported.module()(x), layer(x), rtol=0, atol=2e-4)


def test_shapes_that_do_not_belong_together_are_refused_as_torch_does(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    x, weight, bias, _ = batch()
    with pytest.raises(RuntimeError, match="channels"):
        run(x[:, :3], weight, bias)
    with pytest.raises(RuntimeError, match="bias"):
        run(x, weight, bias[:2])


def test_no_images_give_no_output():
    x, weight, bias, _ = batch()
    assert run(x[:0], weight, bias).shape == (0, 4, 7, 9)


def test_unknown_methods_are_refused():
    x, weight, bias, _ = batch()
    with pytest.raises(ConfigError, match=r"named 'winograd5'.*Did you mean 'winograd"):
        run(x, weight, bias, "torch,winograd5,torch")
    with pytest.raises(ConfigError, match="expected three names"):
        run(x, weight, bias, "torch,torch")


def test_candidates_and_defaults():
    square = Geometry((2, 16, 9, 8), (32, 16, 3, 3), padding=(1, 1))
    strided = Geometry((2, 16, 9, 8), (32, 16, 3, 3), stride=(2, 1), padding=(1, 1))
    for geometry in (square, strided):
        found = kernels.candidates(geometry)
        for direction, name in zip(
            found, kernels.default_methods(geometry).split(","), strict=True
        ):
            assert found[direction][0] == "torch"
            assert name in found[direction]
            assert set(found[direction]) <= {"torch", *METHODS}
    assert ("winograd4" in kernels.candidates(square)["forward"]) == kernels.available()
    assert "winograd4" not in kernels.candidates(strided)["weight"]


@pytest.mark.skipif(not kernels.available(), reason="there are no native kernels")
@pytest.mark.parametrize(
    ("isa", "whitening", "pointwise", "first"),
    [
        ("avx512", "direct,torch,direct", "direct,direct,direct", "torch,torch,direct"),
        ("avx2", "torch,torch,direct", "torch,torch,direct", "torch,torch,direct"),
    ],
)
def test_the_guess_knows_what_was_measured(monkeypatch, isa, whitening, pointwise, first):
    """docs/inside/kernels.md: few places and channels, or one place, pay with wide vectors only."""
    monkeypatch.setattr(kernels.library, "isa", lambda: isa)
    assert kernels.default_methods(Geometry((8, 3, 32, 32), (24, 3, 2, 2))) == whitening
    assert kernels.default_methods(Geometry((8, 64, 9, 9), (32, 64, 1, 1))) == pointwise
    assert kernels.default_methods(Geometry((8, 3, 32, 32), (64, 3, 3, 3), stride=(2, 2))) == first
    for narrow in (
        Geometry((8, 64, 9, 9), (64, 2, 1, 1), groups=32),
        Geometry((8, 3, 32, 32), (1, 3, 2, 2)),
    ):
        assert kernels.default_methods(narrow) == "torch,torch,direct"


def test_a_negative_padding_is_told_as_torch_does():
    x, weight = torch.randn(1, 16, 8, 8), torch.randn(16, 16, 3, 3)
    for methods in ("winograd4,winograd4,winograd4", "direct,direct,direct"):
        with pytest.raises(RuntimeError, match="negative padding is not supported"):
            kernels.convolution(x, weight, padding=(-1, 0), methods=methods)


@pytest.mark.parametrize("instruction_set", ISAS, indirect=True)
@pytest.mark.parametrize(
    ("method", "spread"), [("torch", {9}), ("winograd2", {9}), ("winograd4", {16, 20, 25})]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_stays_in_its_image_and_near(
    instruction_set, method, spread, value
):
    """docs/inside/kernels.md says how far; all of it holds what the definition has."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn((3, 4, 17, 15), generator=draw).contiguous(memory_format=torch.channels_last)
    weight = torch.randn((5, 4, 3, 3), generator=draw)
    sizes = set()
    for row in range(5, 9):
        for column in range(5, 9):
            bad = x.clone()
            bad[1, 2, row, column] = value
            y = kernels.convolution(bad, weight, padding=(1, 1), methods=f"{method},torch,torch")
            lost = ~torch.isfinite(y)
            assert not lost[[0, 2]].any()
            assert lost[1, :, row - 1 : row + 2, column - 1 : column + 2].all()
            assert (lost[1].sum((1, 2)) == lost[1, 0].sum()).all()
            sizes.add(int(lost[1, 0].sum()))
    assert sizes == spread
