import pytest
import torch
from torch import nn

from striate.errors import ConfigError, ShapeError
from striate.optim.critical import critical_point, hessian_vector_product, network_critical_point
from striate.optim.minimise import hessian

ORIGIN = torch.zeros(2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "kind", "index"),
    [
        (lambda x: x[0] ** 2 + 3 * x[1] ** 2, "minimum", 0),
        (lambda x: -(x[0] ** 2) - 3 * x[1] ** 2 + x[0] * x[1], "maximum", 2),
        (lambda x: x[0] * x[1], "saddle", 1),
        (lambda x: x[0] ** 2 + x[1] ** 4, "degenerate", 0),
        (lambda x: x[0] ** 3 + x[1] ** 4, "degenerate", 0),
        (lambda x: x[0] + x[1] ** 2, "not critical", 0),
    ],
)
def test_kinds(function, kind, index):
    found = critical_point(function, ORIGIN)
    assert found.kind == kind
    assert sum(value < 0 for value in found.eigenvalues) == index


def tiny():
    chance = torch.Generator().manual_seed(2)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=chance, dtype=torch.float64)
    inputs = torch.randn(9, 3, generator=chance, dtype=torch.float64)
    targets = torch.randint(2, (9,), generator=chance)

    def loss():
        return nn.functional.cross_entropy(network(inputs), targets)

    def of_vector(vector):
        pieces = torch.split(vector, [p.numel() for p in network.parameters()])
        names = [name for name, _ in network.named_parameters()]
        shapes = [p.shape for p in network.parameters()]
        state = {n: v.reshape(s) for n, v, s in zip(names, pieces, shapes, strict=True)}
        scores = torch.func.functional_call(network, state, (inputs,))
        return nn.functional.cross_entropy(scores, targets)

    return network, loss, of_vector


def test_products_are_those_of_the_whole_matrix():
    network, loss, of_vector = tiny()
    point = nn.utils.parameters_to_vector(network.parameters()).detach()
    matrix = hessian(of_vector, point)
    gradient, product = hessian_vector_product(loss, list(network.parameters()))
    torch.testing.assert_close(gradient, torch.func.grad(of_vector)(point))
    vector = torch.randn(len(point), generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(product(vector), matrix @ vector)
    with pytest.raises(ShapeError, match=r"takes \(26,\)"):
        product(vector[:-1])


def test_ends_of_the_spectrum_are_those_of_the_whole_matrix():
    network, loss, of_vector = tiny()
    point = nn.utils.parameters_to_vector(network.parameters()).detach()
    every = torch.linalg.eigvalsh(hessian(of_vector, point))
    found = network_critical_point(
        loss, list(network.parameters()), num_eigenvalues=4, gradient_tolerance=10.0
    )
    expected = torch.cat([every[:2], every[-2:]])
    torch.testing.assert_close(torch.tensor(found.eigenvalues).double(), expected)
    assert found.kind == "saddle"
    assert network_critical_point(loss, list(network.parameters())).kind == "not critical"


def test_linear_loss_has_no_curvature():
    point = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    _, product = hessian_vector_product(lambda: point.sum(), [point])
    assert torch.equal(product(torch.ones(5).double()), torch.zeros(5).double())


def test_number_of_eigenvalues_must_fit():
    point = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ConfigError, match="2 … 4 for 5 parameters"):
        network_critical_point(lambda: point.square().sum(), [point], num_eigenvalues=5)
