import pytest
import torch
from torch import nn

from striate.optim import OPTIMISERS
from striate.optim.layout import can_fuse, copied
from striate.registry import Pick


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad"])
def test_kernels_are_fused_on_the_cpu(name):
    optimiser = OPTIMISERS.build(Pick(name), [torch.zeros(3, requires_grad=True)])
    assert all(group["fused"] for group in optimiser.param_groups)


def test_what_cannot_be_fused():
    assert can_fuse([{"params": [torch.zeros(2)]}])
    assert not can_fuse([{"params": [torch.zeros(2), torch.zeros(2, dtype=torch.complex64)]}])
    assert not can_fuse([{"params": [torch.zeros(2, device="meta")]}])


def test_torchs_fused_kernel_still_needs_the_hooks():
    """The broken twin: without the hooks another element's gradient is taken."""
    kernel = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(1))
    gradient = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(2))
    results = []
    for fused in (True, False):
        parameter = kernel.clone().requires_grad_()
        parameter.grad = gradient.clone(memory_format=torch.channels_last)
        torch.optim.SGD([parameter], lr=0.1, fused=fused).step()
        results.append(parameter.detach())
    assert not torch.allclose(*results)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_a_copy_learns_as_the_original_and_apart_from_it(name):
    network = nn.Conv2d(3, 4, 3, bias=False)
    optimiser = OPTIMISERS.build(Pick(name, lr=0.1), list(network.parameters()))
    before = network.weight.detach().clone()
    gradient = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(3))
    own_network, owned = copied(network, {"network": optimiser})
    own = owned["network"]
    own_network.weight.grad = gradient.clone(memory_format=torch.channels_last)
    own.step()
    assert torch.equal(network.weight, before)
    network.weight.grad = gradient.clone(memory_format=torch.channels_last)
    optimiser.step()
    assert torch.equal(network.weight, own_network.weight)
    assert not torch.equal(network.weight, before)
