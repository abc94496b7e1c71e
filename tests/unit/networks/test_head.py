"""Heads replaced, features frozen, and nothing else touched."""

import pytest
import torch
from torch import nn

from striate.errors import ConfigError
from striate.networks import (
    GoogLeNet,
    LeNet5,
    ResNet,
    SqueezeNet,
    freeze_features,
    replace_head,
    unfreeze_features,
)
from striate.networks.airbench import Airbench


def test_a_linear_head_is_replaced() -> None:
    network = ResNet(10, depth=8).double()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    replace_head(network, 3)
    assert network.head.weight.shape == (3, 64)
    assert network.head.weight.dtype == torch.float64
    assert torch.equal(network.head.bias, torch.zeros(3, dtype=torch.float64))
    for key, tensor in network.state_dict().items():
        assert key.startswith("head.") or torch.equal(tensor, before[key])


def test_a_convolution_and_a_head_without_bias_are_replaced() -> None:
    squeezenet = SqueezeNet(10)
    replace_head(squeezenet, 3)
    assert squeezenet(torch.randn(2, 3, 33, 35)).shape == (2, 3)
    airbench = Airbench(10, widths=(6, 9))
    replace_head(airbench, 3)
    assert airbench.head.bias is None
    assert airbench.head.weight.shape == (3, 9)


def test_auxiliary_heads_are_replaced_too() -> None:
    network = GoogLeNet(10)
    replace_head(network, 3)
    answers = network(torch.randn(2, 3, 33, 35))
    assert [scores.shape for scores in answers] == [(2, 3)] * 3
    without = GoogLeNet(10, auxiliary=False)
    replace_head(without, 4)
    assert without(torch.randn(2, 3, 33, 35)).shape == (2, 4)


def test_a_head_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="A head of type CodeDistance cannot be replaced"):
        replace_head(LeNet5(10, original=True), 3)
    with pytest.raises(ConfigError, match="has no layer named 'head'"):
        replace_head(nn.Sequential(nn.Linear(2, 3)), 3)


def test_only_the_head_learns_while_features_are_frozen() -> None:
    network = Airbench(10, widths=(6, 9))
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    frozen = freeze_features(network)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {"head.weight"}
    assert set(frozen) == trained - {"head.weight"}
    unfreeze_features(network, frozen)
    # the whitening was never trained, and is not now
    assert {name for name, p in network.named_parameters() if p.requires_grad} == trained
    assert not network.whiten.conv.weight.requires_grad
