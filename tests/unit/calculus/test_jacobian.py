import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.calculus.jacobian import backward_layer, jacobian, jacobian_svg
from striate.calculus.mirror import mirror_svg
from striate.calculus.numerical import numerical_gradient
from striate.errors import ConfigError


def _random(*shape, seed=4):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_linear_layer_is_its_matrix():
    layer = nn.Linear(5, 3).double()
    assert torch.equal(jacobian(layer, _random(5)), layer.weight.detach())


def test_vec_is_row_major():
    """∂ vec(WX) / ∂ vec X = W ⊗ I for row-major vec; the column-major order is I ⊗ W."""
    w, x = _random(2, 3), _random(3, 4, seed=5)
    found = jacobian(lambda x: w @ x, x)
    identity = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(found, torch.kron(w, identity), rtol=1e-12, atol=0)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(found, torch.kron(identity, w), rtol=1e-12, atol=0)


def test_softmax():
    x = _random(4)
    p = torch.softmax(x, 0)
    expected = torch.diag(p) - torch.outer(p, p)
    torch.testing.assert_close(
        jacobian(lambda x: torch.softmax(x, 0), x), expected, rtol=1e-10, atol=1e-15
    )


def test_rows_equal_differences():
    weight, x = _random(2, 3, 3, 2), _random(1, 3, 5, 4, seed=8)

    def layer(x):
        return torch.tanh(F.conv2d(x, weight, stride=2, padding=1))

    found = jacobian(layer, x)
    for row in (0, found.shape[0] - 1):
        (gradient,) = numerical_gradient(lambda x, row=row: layer(x).reshape(-1)[row], x)
        # Differences know a gradient of order one to ε^(2/3) = 4e-11, times a margin of 25.
        torch.testing.assert_close(found[row], gradient.reshape(-1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, (3, 2), stride=2, padding=1),
        nn.MaxPool2d(2, stride=1),
        nn.Flatten(),
        nn.Sequential(nn.ReLU(inplace=True), nn.AvgPool2d(3, stride=2)),
        nn.Softmax(dim=1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_backward_layer_is_the_transposed_jacobian(layer):
    layer, x = layer.double(), _random(2, 3, 5, 4)
    f_bp = backward_layer(layer)
    with torch.no_grad():
        p = _random(*layer(x.clone()).shape, seed=9)
    expected = (jacobian(layer, x).t() @ p.reshape(-1)).reshape(x.shape)
    torch.testing.assert_close(f_bp(p, x), expected, rtol=1e-10, atol=1e-14)
    with pytest.raises(ConfigError, match="it must have that of f"):
        f_bp(p[:1], x)


def test_backward_layers_chain():
    f, g, x, p = torch.tanh, torch.exp, _random(3, 2), _random(3, 2, seed=1)
    whole = backward_layer(lambda x: g(f(x)))(p, x)
    parts = backward_layer(f)(backward_layer(g)(p, f(x)), x)
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-14)


def test_constants_have_zero_jacobians():
    assert not jacobian(lambda x: torch.ones(2), _random(3)).any()
    assert not backward_layer(lambda x: torch.ones(2))(_random(2), _random(3)).any()


def test_a_large_jacobian_is_refused():
    with pytest.raises(ConfigError, match="3000 × 3000 elements"):
        jacobian(lambda x: x * 2, torch.zeros(3000))
    with pytest.raises(ConfigError, match="at most 200 × 200"):
        jacobian_svg(torch.zeros(3, 201))


def test_the_picture_shows_numbers_and_leaves_zeros_blank():
    matrix = torch.tensor([[1.5, 0.0, -2.0], [0.0, 0.25, 0.0]])
    svg = jacobian_svg(matrix, title="a < b & c")
    tree = ET.fromstring(svg)
    texts = [t.text for t in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1.5", "−2", "0.25", "a < b & c"} <= set(texts)
    assert svg.count('class="plus"') == 2
    assert svg.count('class="minus"') == 1
    assert ">1.5<" not in jacobian_svg(torch.full((2, 30), 1.5))


class _Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv1d(2, 3, 3, padding=1), nn.Conv1d(2, 3, 1)

    def forward(self, x):
        return torch.relu(self.one(x)) + self.two(x)


def test_the_mirror_has_every_layer_twice():
    svg = mirror_svg(_Residual(), torch.randn(2, 2, 7))
    ET.fromstring(svg)
    for name in ("one: Conv1d", "two: Conv1d", "relu", "+"):
        assert svg.count(f">{name}<") == 1
        assert svg.count(f">{name}ᴮᴾ<") == 1
    assert "∂L/∂x" in svg
    assert svg.count(">2×3×7<") == 2 * 4
