import pytest
import torch

from striate.errors import ConfigError
from striate.optim.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(5, 11), (11, 5), (7, 7), (1, 6)], ids=str)
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    result = orthogonalise(matrix)
    assert result.shape == matrix.shape
    values = torch.linalg.svdvals(result)
    assert bool(((values > 0.6) & (values < 1.25)).all())
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    # The same singular vectors: Uᵀ X V is diagonal.
    rotated = u.T @ result @ v.T
    off = rotated - torch.diag(torch.diagonal(rotated))
    assert off.abs().max() < 1e-9


def test_zero_stays_zero():
    assert torch.equal(orthogonalise(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_kernels_and_hidden_matrices_are_orthogonalised_the_rest_is_not():
    kernel, hidden, last, bias = (
        torch.zeros(shape, requires_grad=True) for shape in ((4, 3, 3, 3), (6, 5), (2, 6), (2,))
    )
    optimiser = Muon([kernel, bias, hidden, last])
    chosen = {id(p) for g in optimiser.param_groups if g["orthogonalised"] for p in g["params"]}
    assert chosen == {id(kernel), id(hidden)}
    every = Muon([kernel, bias, hidden, last], orthogonalise_last=True)
    chosen = {id(p) for g in every.param_groups if g["orthogonalised"] for p in g["params"]}
    assert chosen == {id(kernel), id(hidden), id(last)}


def test_step_has_the_size_of_an_adamw_step():
    weight = torch.zeros(40, 24, requires_grad=True)
    optimiser = Muon([weight], lr=0.1, orthogonalise_last=True, weight_decay=0.0)
    weight.grad = torch.randn(40, 24, generator=torch.Generator().manual_seed(0))
    optimiser.step()
    # 0.2 η, less what the singular values (0.7 to 1.2) take away.
    assert 0.014 < weight.detach().square().mean().sqrt().item() < 0.024


def test_closure_gives_the_loss():
    weight = torch.ones(3, 2, requires_grad=True)
    optimiser = Muon([weight])

    def closure():
        optimiser.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimiser.step(closure).item() == pytest.approx(6)


def test_all_bad_numbers_are_told_together():
    with pytest.raises(ConfigError) as error:
        Muon([torch.zeros(2, 2)], lr=-1.0, momentum=1.0, betas=(0.9, 2.0))
    assert len(error.value.problems) == 3
