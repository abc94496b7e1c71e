"""Normalisations run together with the layers around them, and hooks are heard all the same."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate import kernels
from striate.execution import Execution, accelerate, restore
from striate.layers import norm_act

ACTIVATIONS = {
    "none": None,
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
    "relu6": nn.ReLU6(),
}
NATIVE = pytest.mark.skipif(not kernels.available(), reason="there are no native kernels")


class Block(nn.Module):
    """A convolution, its normalisation, a residual and an activation."""

    def __init__(self, activation=F.relu, residual=True, joined=True) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.activation, self.residual, self.joined = activation, residual, joined

    def forward(self, x):
        conv = self.conv if self.joined else None
        given = x if self.joined else self.conv(x)
        return norm_act(
            self.norm, given, self.activation, conv=conv, residual=x if self.residual else None
        )


def sequence():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.BatchNorm2d(6),
        nn.Sigmoid(),
        nn.Sequential(nn.Conv2d(6, 5, 1), nn.BatchNorm2d(5)),
        nn.Conv2d(5, 5, 1),
        nn.GELU("tanh"),
    )


class Stem(nn.Sequential):
    """A sequence of a class of its own, which runs as `nn.Sequential` does."""

    stride = 4


class Halved(nn.Sequential):
    """A sequence that does something else."""

    def forward(self, x):
        return super().forward(x) / 2


def pair(plain):
    """A network with a past, and the same on native operators."""
    torch.manual_seed(5)
    plain = plain.to(memory_format=torch.channels_last)
    methods = {}
    for name, layer in plain.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
        elif isinstance(layer, nn.Conv2d):
            methods[name] = "direct,direct,direct"
    kinds = ("norm", "activation")
    choice = Execution(torch.device("cpu"), True, "float32", layers=kinds, methods=methods)
    return plain, accelerate(copy.deepcopy(plain), choice)


def images():
    draw = torch.Generator().manual_seed(3)
    return torch.randn(3, 4, 7, 5, generator=draw).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def one_pass(monkeypatch):
    """Whether each call of the operator that runs in one pass did."""
    noted = []
    operator = kernels.convolution_norm_act

    def noting(*arguments):
        y = operator(*arguments)
        noted.append(y is not None)
        return y

    monkeypatch.setattr(kernels, "convolution_norm_act", noting)
    return noted


def normalisations(calls):
    """The activation of each normalisation, and whether it added a residual."""
    found = []
    for name, arguments in calls:
        if name == "batch_norm_act":
            _, _, activation, residual = (*arguments, "none", None)[:4]
            found.append((activation, residual is not None))
    return found


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_residual_go_along(name, residual, calls):
    plain, other = pair(Block(ACTIVATIONS[name], residual))
    for mode in (True, False):
        torch.testing.assert_close(other.train(mode)(images()), plain.train(mode)(images()))
    assert normalisations(calls) == [(name, residual)] * 2


@pytest.mark.parametrize("activation", [torch.sigmoid, nn.Sigmoid(), lambda x: F.relu(x) + 1])
def test_an_activation_that_the_kernels_do_not_know_is_called(activation, calls):
    plain, other = pair(Block(activation))
    torch.testing.assert_close(other(images()), plain(images()))
    assert normalisations(calls) == [("none", False)]


def test_a_sequence_joins_what_stands_side_by_side(calls):
    plain, other = pair(sequence())
    for mode in (True, False):
        torch.testing.assert_close(other.train(mode)(images()), plain.train(mode)(images()))
    assert normalisations(calls) == [("relu", False), ("none", False), ("none", False)] * 2


@NATIVE
@pytest.mark.parametrize(
    ("network", "count"),
    [
        (Block(), 1),
        (Block(nn.SiLU(), False), 1),
        (Block(joined=False), 0),
        (sequence(), 2),
        (Stem(*sequence()), 2),
        (Halved(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)), 0),
    ],
)
def test_inference_takes_the_convolution_along(network, count, one_pass):
    plain, other = pair(network)
    for mode in (True, False):
        torch.testing.assert_close(other.train(mode)(images()), plain.train(mode)(images()))
    assert not any(one_pass)
    with torch.no_grad():
        torch.testing.assert_close(other(images()), plain(images()))
    assert sum(one_pass) == count


@NATIVE
@pytest.mark.parametrize("network", [Block(), sequence()])
def test_one_pass_gives_the_bits_of_several(network, one_pass):
    _, other = pair(network)
    several = other.eval()(images())
    assert not any(one_pass)
    with torch.no_grad():
        assert torch.equal(other(images()), several)
    assert any(one_pass)


@NATIVE
@pytest.mark.parametrize("where", ["convolution", "norm", "activation", "everywhere", "replaced"])
def test_hooks_are_heard(where, one_pass):
    plain, other = pair(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()))
    heard = []

    def listen(*_):
        heard.append(1)

    for block in (plain.eval(), other.eval()):
        if where == "everywhere":
            hook = nn.modules.module.register_module_forward_hook(listen)
        elif where == "replaced":
            layer = block[0]
            layer.forward = lambda x, own=layer.forward: (listen(), own(x))[1]
        else:
            index = ("convolution", "norm", "activation").index(where)
            hook = block[index].register_forward_hook(listen)
        with torch.no_grad():
            block(images())
        if where != "replaced":
            hook.remove()
    assert heard == [1] * (8 if where == "everywhere" else 2)
    assert one_pass == []


@NATIVE
def test_layers_put_into_a_sequence_later_take_part(one_pass):
    plain, other = pair(sequence())
    for block in (plain.eval(), other.eval()):
        block.append(nn.Tanh())
        block[1] = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(other(images()), plain(images()))


def test_a_residual_of_another_shape_is_added_as_torch_does():
    plain, other = pair(Block(residual=False))
    residual = images().mean((2, 3), keepdim=True)
    found, expected = (
        norm_act(b.norm, images(), F.relu, residual=residual) for b in (other, plain)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("network", [Block(), sequence(), Stem(*sequence())])
def test_an_accelerated_network_can_be_pickled(network):
    plain, other = pair(network)
    for again in (pickle.loads(pickle.dumps(other.eval())), copy.deepcopy(other)):
        assert torch.equal(again(images()), other(images()))
        assert [type(m) for m in again.modules()] == [type(m) for m in other.modules()]
        assert [type(m) for m in restore(again).modules()] == [type(m) for m in plain.modules()]


@NATIVE
def test_a_sequence_of_an_own_class_stays_one():
    _, other = pair(Stem(*sequence()))
    assert isinstance(other, Stem)
    assert type(other) is not Stem
    assert other.stride == 4
    assert type(restore(other)) is Stem
