"""A convolution with its normalisation in one pass gives the bits of the operators one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import forward_ad

from striate import kernels
from striate.errors import ConfigError
from striate.kernels.library import ISAS
from striate.kernels.operators import inference
from striate.kernels.operators.activation import ACTIVATIONS

pytestmark = pytest.mark.skipif(not kernels.available(), reason="there are no native kernels")
LAST = torch.channels_last
CASES = {
    "winograd2": {"K": 20, "R": 3, "stride": (1, 1), "padding": (1, 1), "groups": 1},
    "winograd4": {"K": 37, "R": 3, "stride": (1, 1), "padding": (0, 2), "groups": 1},
    "direct": {"K": 150, "R": 5, "stride": (2, 1), "padding": (2, 3), "groups": 1},
    "direct, few rows": {"K": 150, "R": 5, "stride": (7, 5), "padding": (2, 3), "groups": 1},
    "direct, groups": {"K": 12, "R": 1, "stride": (1, 1), "padding": (0, 0), "groups": 2},
    "depthwise": {"K": 6, "R": 3, "stride": (1, 2), "padding": (1, 1), "groups": 6},
}


def case(name, bias=True, affine=True):
    """x, weight, bias, what the call says besides, and a normalisation with a past."""
    sizes = CASES[name]
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(3, 6, 13, 9, generator=draw).contiguous(memory_format=LAST)
    shape = (sizes["K"], 6 // sizes["groups"], sizes["R"], sizes["R"])
    weight = torch.randn(shape, generator=draw)
    added = torch.randn(sizes["K"], generator=draw) if bias else None
    norm = nn.BatchNorm2d(sizes["K"], eps=0.003, affine=affine).eval()
    for values in (norm.running_mean, *norm.parameters()):
        nn.init.normal_(values, generator=draw)
    nn.init.uniform_(norm.running_var, 0.01, 3, generator=draw)
    methods = ",".join([name.split(",")[0]] * 3)
    rest = (sizes["stride"], sizes["padding"], (1, 1), sizes["groups"], methods)
    return x, weight, added, rest, norm


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("instruction_set", ISAS, indirect=True)
@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_the_operators_one_by_one(instruction_set, threads, name):
    x, weight, bias, rest, norm = case(name)
    with torch.inference_mode():
        between = kernels.convolution(x, weight, bias, *rest)
        residual = torch.randn_like(between).contiguous()
        for activation in ACTIVATIONS:
            for added in (None, residual):
                expected = kernels.batch_norm_act(norm, between, activation, added)
                given = (x, weight, bias, rest, norm, activation, added)
                found = kernels.convolution_norm_act(*given)
                assert torch.equal(found, expected)
                assert found.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("name", CASES)
def test_torchs_numbers_whatever_is_missing(name, threads):
    for given in (True, False):
        x, weight, bias, rest, norm = case(name, bias=given, affine=given)
        with torch.no_grad():
            found = kernels.convolution_norm_act(x.contiguous(), weight, bias, rest, norm, "silu")
            exact = [None if t is None else t.double() for t in (x, weight, bias)]
            expected = F.silu(norm.double()(F.conv2d(*exact, *rest[:-1])))
        largest = float(expected.abs().max())
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5 * largest)


@torch.no_grad()
def test_parameters_may_lie_anywhere():
    x, weight, bias, rest, norm = case("winograd4")
    expected = kernels.convolution_norm_act(x, weight, bias, rest, norm)
    for name in ("running_mean", "running_var", "weight", "bias"):
        values = getattr(norm, name)
        wide = torch.stack([values, torch.full_like(values, 7)], 1)
        values.data = wide[:, 0]
        assert not getattr(norm, name).is_contiguous()
    wide = torch.stack([bias, bias + 1], 1)[:, 0]
    assert torch.equal(kernels.convolution_norm_act(x, weight, wide, rest, norm), expected)


@torch.no_grad()
def test_a_weight_without_a_bias_and_the_reverse():
    x, weight, bias, rest, norm = case("direct")
    between = kernels.convolution(x, weight, bias, *rest)
    for missing in ("weight", "bias"):
        kept = getattr(norm, missing)
        setattr(norm, missing, None)
        found = kernels.convolution_norm_act(x, weight, bias, rest, norm)
        assert torch.equal(found, kernels.batch_norm_act(norm, between))
        setattr(norm, missing, kept)


def test_none_where_one_pass_would_be_wrong():
    x, weight, bias, rest, norm = case("winograd4")

    def asked(x=x, bias=bias, rest=rest, norm=norm, residual=None):
        return kernels.convolution_norm_act(x, weight, bias, rest, norm, "relu", residual)

    assert asked() is None  # a gradient may be wanted
    with torch.no_grad():
        size = asked().shape
        assert asked(x=x.double()) is None
        assert asked(x=x[0]) is None
        assert asked(bias=bias.double()) is None
        assert asked(bias=bias.to("meta")) is None
        assert asked(rest=(*rest[:-1], "torch,torch,torch")) is None
        assert asked(norm=nn.BatchNorm2d(37)) is None  # it takes the batch's own statistics
        assert asked(norm=nn.BatchNorm2d(37, track_running_stats=False).eval()) is None
        assert asked(norm=nn.BatchNorm2d(36).eval()) is None
        assert asked(norm=nn.BatchNorm2d(37).double().eval()) is None
        assert asked(norm=nn.BatchNorm2d(37, device="meta").eval()) is None
        assert asked(residual=torch.zeros(3, 37, 1, 1)) is None
        assert asked(residual=torch.zeros(size).double()) is None
        assert asked(residual=torch.zeros(size, device="meta")) is None
        with torch.autocast("cpu"):
            assert asked() is None
        with forward_ad.dual_level():
            assert asked() is None
        assert torch.func.vmap(lambda x: asked(x=x[None]) is None and x)(x).shape == x.shape
        with pytest.raises(ConfigError, match="activation"):
            kernels.convolution_norm_act(x, weight, bias, rest, norm, "sigmoid")


def test_a_large_residual_is_left_to_two_passes(monkeypatch):
    x, weight, bias, rest, norm = case("winograd4")
    with torch.inference_mode():
        between = kernels.convolution(x, weight, bias, *rest)
        residual = torch.randn_like(between)
        for most, taken in ((residual.numel(), True), (residual.numel() - 1, False)):
            monkeypatch.setattr(inference, "MOST_ADDED", most)
            y = kernels.convolution_norm_act(x, weight, bias, rest, norm, "relu", residual)
            assert (y is not None) == taken
            assert kernels.convolution_norm_act(x, weight, bias, rest, norm, "relu") is not None
