import pytest
import torch
from torch import nn

from striate.errors import ConfigError
from striate.optim import OPTIMISERS, parameter_groups
from striate.registry import Pick


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(8, 2))


def test_biases_and_norms_do_not_decay():
    built = network()
    decaying, plain = parameter_groups(built, 0.05)
    assert decaying["weight_decay"] == 0.05
    assert plain["weight_decay"] == 0.0
    assert [id(p) for p in decaying["params"]] == [id(built[0].weight), id(built[3].weight)]
    assert all(p.ndim <= 1 for p in plain["params"])
    assert len(plain["params"]) == 4


def test_frozen_parameters_are_left_out_and_shared_ones_come_once():
    built = network()
    built[0].requires_grad_(False)
    built.add_module("again", nn.Linear(8, 2))
    built.again.weight = built[3].weight
    groups = parameter_groups(built, 0.1)
    assert [len(group["params"]) for group in groups] == [1, 4]


def test_groups_without_parameters_are_left_out():
    groups = parameter_groups(nn.LayerNorm(3), 0.1)
    assert [group["weight_decay"] for group in groups] == [0.0]


def test_without_a_decay_the_optimisers_own_argument_holds():
    optimiser = OPTIMISERS.build(Pick("sgd", weight_decay=0.3), parameter_groups(network()))
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.3, 0.0]


def test_nothing_trainable_and_bad_decay_are_told():
    with pytest.raises(ConfigError, match="no trainable parameter"):
        parameter_groups(network().requires_grad_(False), 0.1)
    with pytest.raises(ConfigError, match="weight_decay=-1"):
        parameter_groups(network(), -1.0)
    with pytest.raises(ConfigError, match="must be 0 or more"):
        parameter_groups(network(), torch.nan)
