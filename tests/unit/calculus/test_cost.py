import itertools

import pytest
import torch
from torch import nn

from striate.calculus.cost import layer_costs
from striate.errors import ConfigError


def _network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, (3, 2)),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 6, 3, stride=2, groups=2),
        nn.Flatten(),
        nn.Linear(6 * 3 * 3, 5),
    )


def _predicted(network):
    rows = layer_costs(network, torch.randn(2, 3, 9, 8), repeats=1)
    return {row.name: (row.multiply_adds, row.backward_multiply_adds) for row in rows}


def test_backward_costs_twice_forward_but_for_the_first_layer():
    found = _predicted(_network())
    first, second, last = 2 * 7 * 7 * 4 * 3 * 6, 2 * 3 * 3 * 6 * 2 * 9, 2 * 54 * 5
    assert found["0"] == (first, first)
    assert found["3"] == (second, 2 * second)
    assert found["5"] == (last, 2 * last)
    assert found["1"] == found["2"] == found["4"] == (0, 0)


def test_frozen_layers_cost_less():
    network = _network()
    network[0].requires_grad_(False)
    found = _predicted(network)
    assert found["0"][1] == 0
    network[2].requires_grad_(False)
    network[3].requires_grad_(False)
    found = _predicted(network)
    assert found["3"][1] == 0  # nothing before it learns
    assert found["5"][1] == found["5"][0]
    network[0].requires_grad_(True)
    assert _predicted(network)["3"][1] == _predicted(network)["3"][0]


def test_layers_are_timed_in_turns():
    ticks = itertools.count()
    rows = layer_costs(
        _network(), torch.randn(2, 3, 9, 8), repeats=3, clock=lambda: float(next(ticks))
    )
    assert [row.name for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert all(row.forward.median == 1 for row in rows)
    assert all(row.measured_ratio == 1 for row in rows)
    assert next(ticks) == 4 * 6 * 4  # four rounds, six layers, two readings each way


def test_a_reused_layer_has_a_row_for_each_call():
    layer = nn.Linear(4, 4)
    rows = layer_costs(nn.Sequential(layer, nn.Tanh(), layer), torch.randn(3, 4), repeats=2)
    assert [(row.name, row.backward_multiply_adds) for row in rows] == [
        ("0", 48),
        ("1", 0),
        ("0", 96),
    ]


def test_the_network_is_left_as_it_is():
    network = _network().eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layer_costs(network, torch.randn(2, 3, 9, 8), repeats=1)
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(not module._forward_pre_hooks for module in network.modules())


def test_measured_backward_takes_longer_than_forward():
    network = nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)))
    rows = layer_costs(network, torch.randn(4, 16, 32, 32), repeats=5)
    # Twice by count; kernels and a busy machine make it anything from just over one to four.
    assert rows[1].backward.low > rows[1].forward.low


def test_nothing_to_measure_is_refused():
    with pytest.raises(ConfigError, match="repeats=0"):
        layer_costs(_network(), torch.randn(2, 3, 9, 8), repeats=0)

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            return x.exp()

    with pytest.raises(ConfigError, match="no layer that takes one tensor"):
        layer_costs(Bare(), torch.randn(2, 3))
