"""The ledger follows every registered network from end to end."""

import pytest
import torch
from torch import Tensor, nn

from striate.layers.geometry import ledger, receptive_field
from striate.layers.geometry.trace import trace
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


def averaged(network: nn.Module) -> nn.Module:
    """Average in place of max pooling: the same windows, and a gradient for all of each."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d) and not child.return_indices:
                pool = nn.AvgPool2d(
                    child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode
                )
                setattr(module, name, pool)
    return network


@pytest.mark.parametrize(
    "name", ["alexnet", "densenet", "googlenet", "resnet", "simplenet", "unet"]
)
def test_field_half_way_equals_the_gradient_footprint(name: str) -> None:
    arguments = {"depth": 20} if name == "resnet" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NETWORKS.build(
            Pick(name, **arguments), num_classes=5, in_channels=3, input_size=SIZE
        )
    network = averaged(network).eval()
    for parameter in network.parameters():
        parameter.data = 0.01 + parameter.data.abs() / parameter.data.abs().max().clamp(min=1e-9)
    steps = [
        step
        for step in trace(network, (3, *SIZE)).steps
        if step.track and len(step.output_shape) == 3 and step.track[0].dim == 2
    ]
    step = [step for step in steps if step.track and step.track[0].field.size < SIZE[0]][-1]
    assert step.track is not None
    outputs: list[Tensor] = []
    hook = network.get_submodule(step.name).register_forward_hook(
        lambda module, inputs, y: outputs.append(y)
    )
    x = torch.rand(1, 3, *SIZE, requires_grad=True)
    network(x)
    hook.remove()
    for unit, seen in enumerate(step.track[0].field.inside):
        (gradient,) = torch.autograd.grad(
            outputs[0][:, :, unit].double().log().sum(), x, retain_graph=True
        )
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
        assert (rows[0], rows[-1]) == seen
