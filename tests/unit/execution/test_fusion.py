"""What may be rewritten, and what must be left alone."""

import contextlib
import copy
import random

import pytest
import torch
import torch.nn.functional as F
from striate.execution.fusion import fused_class
from striate.execution.native import operator
from torch import nn

from striate import kernels
from striate.execution import Execution, accelerate

FUSED = Execution(torch.device("cpu"), True, "float32", layers=("norm",))


class Block(nn.Module):
    """A convolution, its normalisation, and what a test does with them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.activation = nn.GELU("tanh")
        self.scale = 2.0
        self.calls = 0
        self.seen = []


class Residual(Block):
    def forward(self, x):
        return F.relu(self.norm(self.conv(x)) + x)


class Swapped(Block):
    def forward(self, x):
        return F.silu(torch.add(x, self.norm(self.conv(x))))


class Module(Block):
    def forward(self, x):
        y = self.activation(self.norm(self.conv(x)))
        return y * self.scale


class SumAlone(Block):
    def forward(self, x):
        return self.norm(self.conv(x)) + x


class Method(Block):
    def forward(self, x):
        return self.norm(self.conv(x)).relu_().add(1)


FITTING = [
    (Residual, "relu"),
    (Swapped, "silu"),
    (Module, "gelu_tanh"),
    (SumAlone, "none"),
    (Method, "relu"),
]


class Counting(Block):
    def forward(self, x):
        self.calls += 1
        return F.relu(self.norm(self.conv(x)))


class Remembering(Block):
    def forward(self, x):
        self.seen.append(x)
        return F.relu(self.norm(self.conv(x)))


class Moody(Block):
    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y) if self.training else F.silu(y)


class Lucky(Block):
    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y) if random.random() < 0.5 else y


class Noisy(Block):
    def forward(self, x):
        return F.relu(self.norm(self.conv(x))) * torch.rand(1)


class Inside(Block):
    def forward(self, x):
        with torch.no_grad():
            return F.relu(self.norm(self.conv(x)))


class Decorated(Block):
    @torch.no_grad()
    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class ByShape(Block):
    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y) if x.shape[2] > 6 else y


class ByType(Block):
    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y) if isinstance(x, torch.Tensor) else y


class ByLayer(Block):
    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y) if self.norm.eps > 1e-7 else y


class Optional(Block):
    def forward(self, x, mask=None):
        y = F.relu(self.norm(self.conv(x)))
        return y if mask is None else y * mask


class UsedTwice(Block):
    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y) + y


class ChangedBefore(Block):
    """What the normalisation reads is changed before the sum: it may not wait for the sum."""

    def forward(self, x):
        z = self.conv(x)
        y = self.norm(z)
        return F.relu(y + z.mul_(0.5))


class OtherSum(Block):
    def forward(self, x):
        return F.relu(torch.add(self.norm(self.conv(x)), x, alpha=2))


class Alone(Block):
    def forward(self, x):
        return self.norm(self.conv(x))


class Sequence(Block):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        return F.relu(self.inner(x))


class Late(Block):
    def __init__(self) -> None:
        super().__init__()
        self.second, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        y = self.norm2(self.second(y))
        return F.relu(y + F.silu(x))


class Shortcut(Late):
    """As in residual networks: the shortcut is made after what it is added to."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        y = self.norm2(self.second(y))
        return F.relu(y + self.shortcut(x))


class ChangedAfterwards(Block):
    """The residual is changed after the sum, before the activation."""

    def forward(self, x):
        y = self.norm(self.conv(x)) + x
        x.mul_(0.5)
        return F.relu(y) + x


class Number(Block):
    """What is added is no tensor."""

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)) + x.size(0))


class ViewedMeanwhile(Block):
    """What the convolution reads shares its memory with what is changed."""

    def forward(self, x):
        y = self.norm(self.conv(x[:]))
        return F.relu(y + x.mul_(0.5))


class ChangedMeanwhile(Block):
    """What the convolution reads is changed before the sum: it may not wait for the sum."""

    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y + x.mul_(0.5))


class ChangedBetween(Block):
    """What the convolution read is changed before its normalisation."""

    def forward(self, x):
        z = self.conv(x)
        x = x.mul_(0.5)
        return F.relu(self.norm(z)) + x


class SeenMeanwhile(Late):
    """The same, where what it reads was made here."""

    def forward(self, x):
        z = F.relu(self.norm(self.conv(x)))
        y = self.norm2(self.second(z))
        return F.relu(y + z.mul_(0.5))


class CalledTwice(Block):
    """Nothing may wait: the same layer runs again before."""

    def forward(self, x):
        z = F.relu(self.norm(self.conv(x)))
        return F.relu(self.norm(self.conv(z)) + x)


JOINED = [
    *((kind, 1) for kind in (Alone, UsedTwice, OtherSum, Sequence, ChangedAfterwards)),
    *((Late, 2), (CalledTwice, 2), (Shortcut, 3)),
]
"""How many convolutions are answered with their normalisations."""
APART = [
    *((kind, 0) for kind in (ChangedBefore, ChangedBetween, ChangedMeanwhile, ViewedMeanwhile)),
    *((SeenMeanwhile, 1), (Number, 0)),
]

LEFT = [
    *(Counting, Remembering, Moody, Lucky, Noisy, Inside, Decorated),
    *(ByShape, ByType, ByLayer, Optional, ChangedBefore),
]


NATIVE = pytest.mark.skipif(not kernels.available(), reason="there are no native kernels")


def pair(kind):
    torch.manual_seed(5)
    plain = kind().to(memory_format=torch.channels_last)
    return plain, accelerate(copy.deepcopy(plain), FUSED)


def images(height=7):
    return torch.randn(3, 4, height, 5).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kind", "activation"), FITTING)
def test_a_block_that_fits_is_fused(kind, activation, calls):
    plain, other = pair(kind)
    assert type(other) is not kind
    for mode in (True, False):
        plain.train(mode)
        x = images()
        torch.testing.assert_close(other.train(mode)(x), plain(x))
    asked = [(arguments[8], arguments[9] is None) for name, arguments in calls]
    assert asked == [(activation, kind in (Module, Method))] * 2


@pytest.fixture
def answered(monkeypatch):
    """Whether each call of the operator that answers in one pass did."""
    noted = []
    one_pass = kernels.convolution_norm_act

    def noting(*arguments):
        y = one_pass(*arguments)
        noted.append(y is not None)
        return y

    monkeypatch.setattr(kernels, "convolution_norm_act", noting)
    operator.cache_clear()
    yield noted
    operator.cache_clear()


def pair_that_answers(kind):
    """A block with a past, and the same on native operators."""
    torch.manual_seed(5)
    plain = kind().to(memory_format=torch.channels_last)
    methods = {}
    for name, layer in plain.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
        elif isinstance(layer, nn.Conv2d):
            methods[name] = "direct,direct,direct"
    choice = Execution(torch.device("cpu"), True, "float32", layers=("norm",), methods=methods)
    return plain, accelerate(copy.deepcopy(plain), choice)


@NATIVE
@pytest.mark.parametrize(("kind", "count"), [*((kind, 1) for kind, _ in FITTING), *JOINED, *APART])
def test_a_convolution_is_answered_with_its_normalisation(kind, count, answered):
    plain, other = pair_that_answers(kind)
    x = images()
    for mode in (True, False):
        torch.testing.assert_close(other.train(mode)(x.clone()), plain.train(mode)(x.clone()))
    assert not any(answered)
    with torch.no_grad():
        torch.testing.assert_close(other(x.clone()), plain(x.clone()))
    assert sum(answered) == count


@NATIVE
@pytest.mark.parametrize("where", ["convolution", "sequence", "everywhere", "in its place"])
def test_a_listener_is_heard(where, answered):
    plain, other = pair_that_answers(Sequence)
    heard = []
    x = images()

    def listen(*_):
        heard.append(1)

    for block in (plain.eval(), other.eval()):
        if where == "everywhere":
            hook = nn.modules.module.register_module_forward_hook(listen)
        elif where == "in its place":
            layer = block.inner[0]
            layer.forward = lambda x, own=layer.forward: (listen(), own(x))[1]
        else:
            layer = block.inner if where == "sequence" else block.inner[0]
            hook = layer.register_forward_hook(listen)
        with torch.no_grad():
            block(x)
        if where != "in its place":
            hook.remove()
    assert heard == [1] * (8 if where == "everywhere" else 2)
    # The sequence's own code may well be one pass: whoever listens to it sees its ends.
    assert answered == ([True] if where == "sequence" else [])


@NATIVE
def test_a_layer_put_into_a_sequence_later_takes_part(answered):
    plain, other = pair_that_answers(Sequence)
    for block in (plain.eval(), other.eval()):
        block.inner.append(nn.Tanh())
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(other(x), plain(x))


@pytest.mark.parametrize("kind", LEFT)
def test_a_block_that_does_not_fit_is_left_alone(kind, calls):
    plain, other = pair(kind)
    assert fused_class(plain) is None
    for mode in (True, False):
        for height in (7, 5):
            x = images(height)
            answers = []
            for block in (plain, other):
                random.seed(1)
                torch.manual_seed(1)
                answers.append(block.train(mode)(x.clone()))
            torch.testing.assert_close(*answers)
    assert all(arguments[8] == "none" for name, arguments in calls)


@pytest.mark.parametrize("change", ["constant", "layer", "hook", "activation"])
def test_what_changes_later_is_noticed(change, calls):
    plain, other = pair(Module)
    heard = []
    for block in (plain, other):
        if change == "constant":
            block.scale = 3.0
        elif change == "layer":
            block.norm = nn.InstanceNorm2d(4)
        elif change == "hook":
            block.activation.register_forward_hook(lambda *_: heard.append(1))
        else:
            block.activation = nn.Tanh()
    x = images()
    torch.testing.assert_close(other(x), plain(x))
    assert len(heard) == (2 if change == "hook" else 0)


def test_a_residual_of_another_shape_is_added_as_torch_does(calls):
    class Broadcast(Block):
        def forward(self, x):
            return F.relu(self.norm(self.conv(x)) + x.mean((2, 3), keepdim=True))

    plain, other = pair(Broadcast)
    x = images()
    torch.testing.assert_close(other(x), plain(x))


def test_tracing_leaves_the_block_as_it_was():
    block = Residual()
    block.norm.eval()
    before = dict(block.__dict__)
    assert fused_class(block) is not None
    assert type(block) is Residual
    assert block.__dict__ == before
    assert (block.training, block.norm.training) == (True, False)
    with contextlib.suppress(AttributeError):
        assert not hasattr(block, "_tensor_constant0")


class Listed(nn.Module):
    """Layers in a list and a table, called in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Sigmoid()])
        self.table = nn.ModuleDict({"one": nn.Conv2d(4, 4, 1)})

    def forward(self, x):
        x = F.relu(self.norm(x))
        for block in self.blocks:
            x = block(x)
        for block in self.table.values():
            x = block(x)
        return x


@pytest.mark.parametrize("change", ["longer", "shorter", "table", "none"])
def test_a_list_that_changes_later_is_noticed(change, calls):
    torch.manual_seed(0)
    plain, other = pair(Listed)
    assert fused_class(plain) is not None
    for block in (plain, other):
        if change == "longer":
            block.blocks.append(nn.Tanh())
        elif change == "shorter":
            block.blocks = block.blocks[:1]
        elif change == "table":
            block.table["two"] = nn.Tanh()
    x = images()
    torch.testing.assert_close(other(x), plain(x))
    assert (calls[-1][1][8] == "relu") is (change == "none")


def test_a_block_is_called_by_whatever_name_its_input_has(calls):
    class Named(Block):
        def forward(self, inputs):
            return F.relu(self.norm(self.conv(inputs)))

    class Inner(Block):
        def forward(self, inputs, twice=False):
            y = F.relu(self.norm(input=self.conv(inputs)))
            return 2 * y if twice else y

    x = images()
    plain, other = pair(Named)
    assert type(other) is not Named
    torch.testing.assert_close(other(x), plain(x))
    torch.testing.assert_close(other(inputs=x), plain(inputs=x))
    for block in (plain, other):
        with pytest.raises(TypeError, match="unexpected keyword"):
            block(x, twice=True)
    plain, other = pair(Inner)
    for given, named in (((x,), {}), ((), {"inputs": x}), ((x, True), {}), ((x,), {"twice": True})):
        torch.testing.assert_close(other(*given, **named), plain(*given, **named))
