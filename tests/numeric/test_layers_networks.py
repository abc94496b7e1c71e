"""The ledger follows every registered network from end to end."""

import pytest
import torch
from torch import Tensor, nn

from striate.layers.geometry import ledger, receptive_field
from striate.networks import NETWORKS
from striate.registry import Pick

SIZE = (64, 64)


def build(name: str) -> nn.Module:
    with torch.device("meta"):  # shapes alone: nothing is drawn or computed
        return NETWORKS.build(Pick(name), num_classes=5, in_channels=3, input_size=SIZE).eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_followed(name: str) -> None:
    network = build(name)
    called: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, y: called.append(module))
        for module in network.modules()
    ]
    with torch.no_grad():
        output: Tensor = network(torch.zeros(1, 3, *SIZE, device="meta"))
    for hook in hooks:
        hook.remove()
    rows = ledger(network, (3, *SIZE))
    assert not [f"{row.name} ({row.kind})" for row in rows if row.field_size is None]
    parameters = {id(p): p.numel() for module in called for p in module.parameters(recurse=False)}
    assert sum(row.parameters for row in rows) == sum(parameters.values())
    leaves = [module for module in called if not list(module.children())]
    assert len(leaves) <= len(rows)
    fields = receptive_field(network, (3, *SIZE))
    assert [len(field.inside) for field in fields] == (list(output.shape[2:]) or [1, 1])
