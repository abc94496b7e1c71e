"""Networks with other operators inside: same numbers, same state, and back again exactly."""

import copy

import pytest
import torch
from torch import nn

from striate.execution import Execution, accelerate, accelerated, restore
from striate.layers import native
from striate.layers.native import NativeConv2d, NativeNorm2d
from striate.networks import NETWORKS
from striate.registry import Pick

SMALL = [
    (Pick("lenet5"), (13, 8)),
    (Pick("googlenet"), (35, 33)),
    (Pick("vgg", depth=11, hidden=24, dropout=0.0), (32, 35)),
    (Pick("resnet", depth=8, width=6), (11, 14)),
    (Pick("resnet", depth=50, width=3), (35, 40)),
    (Pick("densenet", depth=16, growth=5), (11, 14)),
    (Pick("squeezenet", dropout=0.0), (39, 35)),
    (Pick("airbench", widths=(6, 9)), (11, 14)),
    (Pick("segnet", widths=(6, 9), counts=(2, 1)), (9, 14)),
    (Pick("unet", depth=2, width=6), (9, 14)),
]
FUSED = Execution(torch.device("cpu"), True, "float32", layers=("norm", "pool"))


def built(pick: Pick, size: tuple[int, int]) -> nn.Module:
    torch.manual_seed(3)
    network = NETWORKS.build(pick, num_classes=4, in_channels=3, input_size=size)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics and scales of no special value
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.double().to(memory_format=torch.channels_last)


def everywhere(network: nn.Module) -> Execution:
    names = [name for name, module in network.named_modules() if type(module) is nn.Conv2d]
    methods = dict.fromkeys(names, "direct,direct,direct")
    return Execution(torch.device("cpu"), True, "float32", methods=methods, layers=FUSED.layers)


def step(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """All that one step of training, and an answer after it, leave behind."""
    network.train()
    torch.manual_seed(1)  # of dropout
    y = network(images)
    outputs = list(y) if isinstance(y, tuple) else [y]
    sum(output.square().sum() for output in outputs).backward()
    found = {f"output {i}": output.detach() for i, output in enumerate(outputs)}
    found |= {f"gradient {n}": p.grad for n, p in network.named_parameters() if p.grad is not None}
    found |= {f"buffer {n}": b.clone() for n, b in network.named_buffers()}
    found["answer"] = network.eval()(images).detach()
    with torch.no_grad():
        found["answer without gradients"] = network(images)
    return found


CASES = [
    pytest.param(*case, marks=[pytest.mark.slow] if case[0].name == "googlenet" else [])
    for case in SMALL
]


@pytest.mark.parametrize(("pick", "size"), CASES, ids=lambda value: str(value)[:20])
def test_an_exchanged_network_computes_the_same(pick, size, calls):
    plain = built(pick, size)
    other = copy.deepcopy(plain)
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    images = images.contiguous(memory_format=torch.channels_last)
    expected = step(plain, images)
    found = step(accelerate(other, everywhere(other)), images)
    assert calls
    assert found.keys() == expected.keys()
    for name, value in expected.items():  # float64 in the order of torch: far below one step
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9, msg=name)


def test_all_blocks_of_a_residual_network_are_fused(calls):
    network = NETWORKS.build(Pick("resnet", depth=8, width=6), num_classes=4, in_channels=3)
    network = accelerate(network.to(memory_format=torch.channels_last), FUSED)
    network(torch.randn(2, 3, 9, 8).contiguous(memory_format=torch.channels_last))
    asked = [(activation, residual is not None) for _, (_, _, activation, residual) in calls]
    # stem, then in each of three blocks one without and one with the residual
    assert asked == [("relu", False), *[("relu", False), ("relu", True)] * 3]


def test_only_classes_change_and_they_come_back():
    network = built(Pick("resnet", depth=8, width=6), (9, 8))
    kinds = [type(module) for module in network.modules()]
    tensors = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    plain = [dict(module.__dict__) for module in network.modules()]
    accelerate(network, everywhere(network))
    assert {type(m) for m in network.modules()} >= {NativeConv2d, NativeNorm2d}
    assert {n: t.data_ptr() for n, t in network.state_dict().items()} == tensors
    assert [module.training for module in network.modules()] == modes
    twin = copy.deepcopy(network)
    restore(network)
    assert [type(module) for module in network.modules()] == kinds
    assert [dict(module.__dict__) for module in network.modules()] == plain
    assert [type(module) for module in restore(twin).modules()] == kinds


def test_blocks_inside_each_other_restore_last():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    with accelerated(network, FUSED):
        with accelerated(network, FUSED):
            assert isinstance(network[1], NativeNorm2d)
        assert isinstance(network[1], NativeNorm2d)
    assert type(network) is nn.Sequential
    assert type(network[1]) is nn.BatchNorm2d
    with pytest.raises(ZeroDivisionError, match="inside"), accelerated(network, FUSED):
        raise ZeroDivisionError("inside")
    assert type(network[1]) is nn.BatchNorm2d


def test_what_is_not_ordinary_is_left_alone(calls):
    class Own(nn.Conv2d):
        pass

    network = nn.Sequential(
        Own(3, 4, 3),
        nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(5, 4, 3, padding="same"),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 3, 3)),
    )
    kinds = [type(module) for module in network]
    choice = Execution(
        torch.device("cpu"), True, "float32", methods=dict.fromkeys("0123", "direct,direct,direct")
    )
    accelerate(network, choice)(torch.randn(2, 3, 11, 9))
    assert [type(module) for module in network] == kinds
    assert not calls


def test_exchanged_layers_fall_back_where_there_are_no_kernels(monkeypatch):
    monkeypatch.setenv("STRIATE_ISA", "none")
    plain = built(Pick("resnet", depth=8, width=6), (9, 8)).float()
    other = accelerate(copy.deepcopy(plain), everywhere(plain))
    images = torch.randn(2, 3, 9, 8)
    expected, found = step(plain, images), step(other, images)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_momentum_none_counts_as_torch_does(calls):
    plain = nn.Sequential(nn.BatchNorm2d(3, momentum=None)).to(memory_format=torch.channels_last)
    other = accelerate(copy.deepcopy(plain), FUSED)
    for _ in range(3):
        images = torch.randn(4, 3, 5, 7).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(other(images), plain(images))
    assert len(calls) == 3
    for a, b in zip(plain.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_activations_that_stand_alone_are_exchanged_and_given_back():
    kinds = [nn.Tanh, nn.GELU, nn.SiLU]
    network = nn.Sequential(nn.Conv2d(3, 40, 3, padding=1), *(kind() for kind in kinds))
    x = torch.randn(4, 3, 23, 21)
    expected = network(x)
    choice = Execution(torch.device("cpu"), True, "float32", layers=("activation",))
    swapped = [type(layer) for layer in accelerate(network, choice)]
    assert swapped == [nn.Conv2d, native.NativeTanh, native.NativeGELU, nn.SiLU]
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-6)
    assert [type(layer) for layer in restore(network)][1:] == kinds


def test_what_another_made_of_an_exchanged_layer_is_left_to_it(calls):
    """torch's parametrizations subclass whatever class a layer has at the time."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
    choice = everywhere(plain)
    network = accelerate(copy.deepcopy(plain), choice)
    for one in (plain, network):
        nn.utils.parametrizations.weight_norm(one[0])
    images = torch.randn(2, 3, 9, 8).contiguous(memory_format=torch.channels_last)
    expected = plain(images)
    for again in (lambda: network, lambda: restore(network), lambda: accelerate(network, choice)):
        torch.testing.assert_close(again()(images), expected)
    restore(network)
    assert type(network[2]) is nn.Conv2d
    assert network[0].weight.shape == (4, 3, 3, 3)
