"""Which convolutions a network has, and what they cost."""

import torch
from torch import nn

from striate.execution.convolution import convolutions
from striate.layers.geometry import ledger
from striate.networks import NETWORKS
from striate.registry import Pick


def test_they_are_listed_with_their_shapes_and_cost():
    network = NETWORKS.build(Pick("resnet", depth=8, width=6), num_classes=4, in_channels=3)
    network.stem.requires_grad_(False)
    found = convolutions(network, (7, 3, 11, 14))
    expected = {row.name: row.multiply_adds for row in ledger(network, (3, 11, 14))}
    names = [n for n, module in network.named_modules() if type(module) is nn.Conv2d]
    assert [layer.name for layer in found] == names
    assert all(layer.multiply_adds == 7 * expected[layer.name] for layer in found)
    assert found[0].directions == ("forward",)
    assert found[1].directions == ("forward", "weight")
    assert found[2].directions == ("forward", "data", "weight")
    assert found[3].geometry.x == (7, 6, 11, 14)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(module.training for module in network.modules())


def test_a_layer_that_is_called_on_patches_has_their_number():
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3, dilation=2, padding=(1, 0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(
                x.unflatten(3, (2, -1)).transpose(2, 3).flatten(0, 0).flatten(2, 3)
            ) + (self.conv(x.repeat(3, 1, 1, 1)).sum())

    (layer,) = convolutions(Patches(), (5, 3, 9, 14))
    assert layer.geometry.x in ((15, 3, 9, 14), (5, 3, 18, 7))
    assert layer.geometry.dilation == (2, 2)
