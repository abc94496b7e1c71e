import pytest
import torch

from striate.errors import ConfigError
from striate.optim.sharpness import uphill


def test_norm_is_that_of_all_parameters_together():
    first = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    second = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    still = torch.ones(2, requires_grad=True)
    first.grad = torch.tensor([2.0, 3.0], dtype=torch.float64)
    second.grad = torch.tensor([6.0], dtype=torch.float64)
    with uphill([first, second, still], rho=1.4):
        torch.testing.assert_close(first.detach(), torch.tensor([0.4, 0.6]).double())
        torch.testing.assert_close(second.detach(), torch.tensor([1.2]).double())
        assert first.grad is None
    assert torch.equal(first, torch.zeros(2).double())
    assert torch.equal(still, torch.ones(2))


def test_without_a_gradient_there_is_no_uphill():
    point = torch.ones(3, requires_grad=True)
    point.grad = torch.zeros(3)
    with uphill([point]):
        assert torch.equal(point, torch.ones(3))
    with uphill([torch.ones(2, requires_grad=True)]):
        pass


def test_length_must_be_above_zero():
    with pytest.raises(ConfigError, match="rho=0"), uphill([], rho=0.0):
        pass
