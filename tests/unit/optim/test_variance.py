import math

import pytest
import torch
from torch import nn

from striate.optim.initialise import glorot, kaiming
from striate.optim.variance import compare_text, variance_table


def deep(activation, width=200, depth=8):
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def noise(width=200):
    return torch.randn(60, width, generator=torch.Generator().manual_seed(3))


def test_kaiming_keeps_relu_level_and_glorot_loses_half_each_layer():
    built = deep(nn.ReLU)
    kaiming(built)
    rows = [row for row in variance_table(built, noise()) if row.kind == "Linear"]
    # Random weights of width 200 wander a little; halving eight times would be a factor 256.
    assert 0.3 < rows[7].forward / rows[0].forward < 3
    glorot(built)
    rows = [row for row in variance_table(built, noise()) if row.kind == "Linear"]
    assert math.log2(rows[0].forward / rows[7].forward) == pytest.approx(7, abs=1.5)


def test_numbers_are_those_of_autograd():
    built = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    inputs = noise(5)
    rows = variance_table(built, inputs)
    first = built[0](inputs)
    middle = torch.tanh(first)
    assert [row.forward for row in rows] == pytest.approx(
        [t.double().var().item() for t in (first, middle, built[2](middle))]
    )
    assert rows[2].backward == pytest.approx(1, abs=0.25)
    assert rows[0].weight_deviation == pytest.approx(built[0].weight.std().item())
    assert rows[1].weight_deviation is None
    assert [row.shape for row in rows] == [(60, 7), (60, 7), (60, 3)]


def test_reused_and_in_place_layers_have_a_row_for_each_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 6)
            self.rectifier = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.rectifier(self.inner(self.rectifier(self.inner(x))))

    rows = variance_table(Twice(), noise(6))
    assert [row.name for row in rows] == ["inner", "rectifier", "inner", "rectifier"]
    assert all(row.backward is not None and row.backward > 0 for row in rows)
    # What the first call gave before the rectifier wrote over it.
    assert rows[0].forward > rows[1].forward


def test_network_is_left_as_it_was():
    built = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2)).eval()
    before = {name: t.clone() for name, t in built.state_dict().items()}
    state = torch.random.get_rng_state()
    first = variance_table(built, noise(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not built.training
    assert all(torch.equal(t, before[name]) for name, t in built.state_dict().items())
    assert all(p.grad is None for p in built.parameters())
    assert all(not module._forward_hooks for module in built.modules())
    assert variance_table(built, noise(4)) == first


def test_auxiliary_heads_and_frozen_layers_do_not_stop_it():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
            self.body.requires_grad_(False)

        def forward(self, x):
            return self.head(self.body(x)), self.body(x)

    rows = variance_table(Two(), noise(4))
    assert rows[0].backward is None
    assert rows[1].backward is not None


def test_texts():
    built = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    rows = variance_table(built, noise(3))
    compared = compare_text({"own": rows, "other": rows})
    assert compared.splitlines()[0].split() == ["forward", "variance", "own", "other"]
    assert len(compared.splitlines()) == 5
