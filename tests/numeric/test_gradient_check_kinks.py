"""Ten kinds of right networks whose units lie on their kinks: no alarm, unless a bug is planted."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.calculus.network_check import check_network
from striate.layers.activation import Maxout, RectifiedSigmoid, RectifiedTanh

IMAGES = (6, 2, 6, 5)


class _Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.second, self.last = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        nn.init.zeros_(self.last.weight)

    def forward(self, x):
        return F.relu(x + self.last(self.second(F.relu(self.norm(self.first(x))))))


class _Equal(nn.Module):
    """Maxout over pieces with the same weights."""

    def __init__(self):
        super().__init__()
        self.full, self.maxout = nn.Linear(60, 6), Maxout(2)
        with torch.no_grad():
            self.full.weight[1::2] = self.full.weight[::2]
            self.full.bias.zero_()

    def forward(self, x):
        return self.maxout(self.full(x.flatten(1)))


class _Clipped(nn.Module):
    """Clips its images at limits at which they lie."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x):
        return F.relu6(6 * self.scale * x) + F.hardtanh(self.scale * x)


def _head(*layers, count):
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(count, 4))


def _convolution(*layers, count=60):
    return _head(nn.Conv2d(2, 2, 3, padding=1), *layers, count=count)


def _full(*layers):
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 6), *layers, nn.Linear(6, 4))


KINDS = {
    "full layers, ReLU": (lambda: _full(nn.ReLU(), nn.Linear(6, 6), nn.ReLU()), 0.0),
    "convolution, ReLU": (lambda: _convolution(nn.ReLU()), 0.0),
    "convolution, max pooling": (lambda: _convolution(nn.MaxPool2d(2), count=12), 0.3),
    "convolution, norm, ReLU": (lambda: _convolution(nn.BatchNorm2d(2), nn.ReLU()), 0.0),
    "residual": (lambda: _head(_Residual(), count=60), 0.0),
    "leaky ReLU, PReLU": (lambda: _convolution(nn.LeakyReLU(), nn.PReLU()), 0.0),
    "maxout": (lambda: nn.Sequential(_Equal(), nn.Linear(3, 4)), 0.7),
    "clipped": (lambda: _head(_Clipped(), count=60), 1.0),
    "rectified": (lambda: _full(RectifiedTanh(), nn.Linear(6, 6), RectifiedSigmoid()), 0.0),
    "absolute error": (_full, 0.0),
}


def _case(kind, seed):
    torch.manual_seed(seed)
    build, colour = KINDS[kind]
    network = build()
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.bias.data.zero_()
    target = torch.arange(6) % 4
    loss = F.cross_entropy
    if kind == "absolute error":
        loss, target = F.l1_loss, torch.zeros(6, 4)
    images = torch.full(IMAGES, colour)
    images[0] = torch.randn(IMAGES[1:])  # two images that are no single colour, of mean zero
    images[1] = -images[0]
    return network, loss, images, target


@pytest.mark.parametrize("kind", KINDS)
def test_right_networks_raise_no_alarm(kind):
    network, loss, images, target = _case(kind, 1)
    report = check_network(network, loss, images, target, elements=2, projections=1)
    assert report.ok, str(report)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, delta):
        return 1.001 * delta


class _Wrong(nn.Module):
    """A network whose input gets a gradient that is a thousandth too large."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(_Scaled.apply(x))


@pytest.mark.parametrize(
    "kind",
    [
        kind if "convolution" in kind else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_a_planted_bug_is_seen_among_the_kinks(kind):
    network, loss, images, target = _case(kind, 0)
    report = check_network(_Wrong(network), loss, images, target, elements=2, projections=1)
    assert [tensor.name for tensor in report.failures] == ["input"], str(report)


def test_what_many_kinks_hide_is_named():
    """max(0, x) - max(0, -x) is x, and autograd gives 0 at 0."""

    class Difference(nn.Module):
        def forward(self, x):
            return F.relu(x) - F.relu(-x)

    x = torch.zeros(1, 3)
    report = check_network(Difference(), lambda y: (y * torch.arange(1, 4)).sum(), x)
    (found,) = report.tensors
    assert found.verdict == "kink"
    assert "many bends meet here" in found.note
    assert found.analytic == pytest.approx(found.numeric)
