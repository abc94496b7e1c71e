"""Attribution equals values that were computed by hand, in every spelling of a rectifier."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.layers.geometry import receptive_field
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing import (
    Unit,
    deconvnet,
    grad_cam,
    gradient,
    guided_backpropagation,
    integrated_gradients,
    occlusion,
)

SPELLINGS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "module": lambda net, x: net.first(x),
    "module in place": lambda net, x: net.in_place(x),
    "one module twice": lambda net, x: net.twice(x),
    "F.relu": lambda net, x: F.relu(x),
    "F.relu in place": lambda net, x: F.relu(x, inplace=True),
    "F.relu in place, as a statement": lambda net, x: (F.relu(x, inplace=True), x)[1],
    "torch.relu": lambda net, x: torch.relu(x),
    "x.relu()": lambda net, x: x.relu(),
    "x.relu_()": lambda net, x: x.relu_(),
    "torch.relu_": lambda net, x: torch.relu_(x),
    "x.clamp(min=0)": lambda net, x: x.clamp(min=0),
    "x.clamp(0)": lambda net, x: x.clamp(0),
    "torch.clamp": lambda net, x: torch.clamp(x, min=0.0),
    "clamp_": lambda net, x: x.clamp_(min=0),
    "clamp_min": lambda net, x: x.clamp_min(0),
    "clip": lambda net, x: torch.clip(x, 0),
    "threshold": lambda net, x: F.threshold(x, 0, 0),
    "nn.Threshold": lambda net, x: nn.Threshold(0, 0)(x),
    "maximum": lambda net, x: torch.maximum(x, torch.zeros(())),
    "F.relu6": lambda net, x: 128 * F.relu6(x / 128),
    "ReLU6": lambda net, x: 128 * nn.ReLU6()(x / 128),
    "hardtanh": lambda net, x: 1024 * F.hardtanh(x / 1024, 0, 1),
}
"""ReLU6 and hardtanh are scaled so that nothing reaches their upper end."""


class OneConvolution(nn.Module):
    """Convolution of ones with biases −50 and −75, rectifier, linear layer of ±1, rectifier."""

    def __init__(self, spelling: str = "module") -> None:
        super().__init__()
        self.conv1, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(8, 4)
        self.first, self.in_place, self.twice = nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU()
        self.rectify = SPELLINGS[spelling]
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc.weight.copy_(torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], dim=1))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectify(self, self.conv1(x))
        return self.rectify(self, self.fc(x.flatten(1)))


IMAGE = torch.arange(16.0).view(1, 1, 4, 4)
GRADIENT = [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
DECONVNET = [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]]
GUIDED = [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]


def rows(found: Tensor) -> list[list[float]]:
    return found.reshape(found.shape[-2:]).tolist()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_rectifier_gives_the_values_computed_by_hand(spelling: str) -> None:
    network = OneConvolution(spelling)
    assert network(IMAGE)[0, 0] == 54
    torch.testing.assert_close(rows(gradient(network, IMAGE, 0)), GRADIENT, check_dtype=False)
    torch.testing.assert_close(rows(deconvnet(network, IMAGE, 0)), DECONVNET, check_dtype=False)
    found = rows(guided_backpropagation(network, IMAGE, 0))
    torch.testing.assert_close(found, GUIDED, check_dtype=False)
    expected = [[11.25, 13.5], [20.25, 22.5]]
    torch.testing.assert_close(rows(grad_cam(network, IMAGE, 0, "conv1")), expected)


def test_grad_cam_at_layers_before_and_after_the_rectifier() -> None:
    network = OneConvolution()
    network.rectify = SPELLINGS["module in place"]  # used twice, so that the first call counts
    with pytest.raises(ConfigError, match="without positions"):
        grad_cam(network, IMAGE, 0, "fc")
    network = nn.Sequential(network.conv1, nn.ReLU(inplace=True), nn.Flatten(), network.fc)
    assert rows(grad_cam(network, IMAGE, 0, "0", rectify=False)) == [[11.25, 13.5], [20.25, 22.5]]
    assert rows(grad_cam(network, IMAGE, 0, "1")) == [[0, 4], [28, 32.5]]
    whole = nn.Sequential(nn.Identity(), *network)
    expected = 0.5625 * IMAGE[0, 0]
    torch.testing.assert_close(grad_cam(whole, IMAGE, 0, "0")[0], expected)
    negative = grad_cam(whole, -IMAGE, lambda y: -y[:, 0], "0")
    assert bool((negative == 0).all())


def test_guided_backpropagation_of_a_sum_of_two_images() -> None:
    network = OneConvolution()

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x + torch.ones_like(x))

    expected = [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert rows(guided_backpropagation(Sum(), IMAGE, 0)) == expected
    assert rows(occlusion(Sum(), IMAGE, 0, window=4)) == [[67.0] * 4] * 4
    expected = [[17, 17, 17, 17], [17, 17, 17, 17], [64, 65.5, 65.5, 67], [64, 65.5, 65.5, 67]]
    assert rows(occlusion(Sum(), IMAGE, 0, window=(2, 3), stride=(2, 1))) == expected


class Linear3(nn.Module):
    """Identity, a layer of ones with biases −10, 1, 1, 1, a rectifier, a layer of ones."""

    def __init__(self) -> None:
        super().__init__()
        self.linear0, self.linear1 = nn.Linear(3, 3, bias=False), nn.Linear(3, 4)
        self.linear2 = nn.Linear(4, 2)
        with torch.no_grad():
            self.linear0.weight.copy_(torch.eye(3))
            self.linear1.weight.fill_(1)
            self.linear1.bias.copy_(torch.tensor([-10.0, 1.0, 1.0, 1.0]))
            self.linear2.weight.fill_(1)
            self.linear2.bias.copy_(torch.tensor([-1.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.linear1(self.linear0(x)).relu())


def test_occlusion_of_inputs_without_channels() -> None:
    network, x = Linear3(), torch.tensor([[20.0, 50.0, 30.0]])
    assert occlusion(network, x, 0, window=1).tolist() == [[80, 200, 120]]
    found = occlusion(network, x, 0, window=2, baseline=10.0)
    assert found.tolist() == [[200, 220, 240]]
    found = occlusion(network, x, 0, window=2, stride=2)
    assert found.tolist() == [[280, 280, 120]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[:, 0].relu() - 1 - x[:, 1].relu()).relu(),
        lambda x: ((x[:, 0] - 1).relu() - x[:, 1].relu()).relu(),
    ],
)
def test_integrated_gradients_do_not_depend_on_how_a_function_is_written(
    function: Callable[[Tensor], Tensor],
) -> None:
    class Written(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    found = integrated_gradients(Written(), torch.tensor([[3.0, 1.0]]), lambda y: y, steps=600)
    torch.testing.assert_close(found, torch.tensor([[1.5, -0.5]]), atol=2e-3, rtol=0)


def small(name: str = "resnet", **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    usual = {"depth": 8, "width": 4} if name == "resnet" else {}
    network = NETWORKS.build(Pick(name, **{**usual, **arguments}), num_classes=4)
    network(torch.randn(8, 3, 12, 10))  # moves the averages off their start
    return network


def test_integrated_gradients_add_up_to_the_difference() -> None:
    network, images = small().eval(), torch.randn(3, 3, 12, 10)
    target = torch.tensor([2, 0, 3])
    shares = integrated_gradients(network, images, target, baseline=0.3, steps=400)
    with torch.no_grad():
        index = torch.arange(3), target
        difference = network(images)[index] - network(torch.full_like(images, 0.3))[index]
    torch.testing.assert_close(shares.flatten(1).sum(1), difference, atol=5e-3, rtol=0.01)


def test_grad_cam_is_the_class_activation_map_where_the_head_is_linear_and_pooled() -> None:
    network, images = small().eval(), torch.randn(2, 3, 12, 10)
    maps: list[Tensor] = []
    last = next(name for name, _ in network.named_modules() if name.startswith("stages.2"))
    body = network.get_submodule(last)
    handle = body.register_forward_hook(lambda _, __, output: maps.append(output.detach()))
    with torch.no_grad():
        network(images)
    handle.remove()
    weights = network.get_submodule("head").weight[1]  # type: ignore[index]
    expected = torch.einsum("c,bchw->bhw", weights, maps[0]) / maps[0][0, 0].numel()
    found = grad_cam(network, images, 1, last, rectify=False)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", [gradient, guided_backpropagation, deconvnet])
def test_an_image_in_a_batch_gets_what_it_gets_alone(method: Any) -> None:
    network, images = small(), torch.randn(3, 3, 12, 10)
    together = method(network, images, torch.tensor([0, 2, 1]))
    for i, label in enumerate((0, 2, 1)):
        torch.testing.assert_close(together[i : i + 1], method(network, images[i : i + 1], label))


def test_rules_reach_through_residual_sums() -> None:
    """Written out: y = relu(a + w·relu(v·a)), a = relu(x); signals add up at the sum."""

    class Residual(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a = F.relu(x)
            return F.relu(a - 2 * F.relu(3 * a - 3)).sum(1)

    x = torch.tensor([[2.0, 1.5, 0.5, -1.0]])

    # a = 2, 1.5, 0.5, 0; 3a − 3 = 3, 1.5, −1.5, −3; y = relu(−4, −1.5, 0.5, 0)
    def target(y: Tensor) -> Tensor:
        return y

    assert gradient(Residual(), x, target).tolist() == [[0, 0, 1, 0]]
    assert guided_backpropagation(Residual(), x, target).tolist() == [[0, 0, 1, 0]]
    # 1 passes each last rectifier; −2 is dropped at the inner one
    assert deconvnet(Residual(), x, target).tolist() == [[1, 1, 1, 1]]


def test_deconvnet_of_a_linear_network_is_its_transpose() -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)
    network = nn.Sequential(conv, nn.ReLU())
    with torch.no_grad():
        conv.weight.abs_()
    signal = torch.zeros(1, 3, 4, 5)
    signal[0, 1, 2, 3] = 1
    expected = F.conv_transpose2d(signal, conv.weight, stride=2, padding=1, output_padding=(0, 0))
    found = deconvnet(network, torch.rand(1, 2, 7, 9), Unit("1", 1, (2, 3)))
    torch.testing.assert_close(found, expected)


def test_a_unit_is_projected_into_its_receptive_field_alone() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU()
    )
    image = torch.rand(1, 1, 20, 16)
    rows_seen, columns_seen = receptive_field(network, (1, 20, 16))
    for method in (gradient, guided_backpropagation, deconvnet):
        for channel in range(5):
            outside = method(network, image, Unit("4", channel, (3, 2)))[0, 0].clone()
            (top, bottom), (left, right) = rows_seen.inside[3], columns_seen.inside[2]  # type: ignore[misc]
            outside[top : bottom + 1, left : right + 1] = 0
            assert bool((outside == 0).all())


def test_occlusion_of_a_region_that_is_ignored_is_zero() -> None:
    class LeftHalf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[..., :4].flatten(1).sum(1, keepdim=True)

    found = occlusion(LeftHalf(), torch.rand(2, 3, 6, 8), 0, window=2, stride=2)
    assert bool((found[..., 4:] == 0).all())
    assert bool((found[..., :4] > 0).all())


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda n, x: gradient(n, x, 4), r"no class \[4.*has 4 outputs, from 0 on"),
        (lambda n, x: gradient(n, x, -1), "There is no class"),
        (lambda n, x: gradient(n, x, lambda y: y), "one for each of 2 image"),
        (lambda n, x: gradient(n, x, Unit("stem", 99)), "There is no channel 99"),
        (lambda n, x: gradient(n, x, Unit("stem", 0, (50, 1))), "There is no position"),
        (lambda n, x: gradient(n, x, Unit("stems", 0)), "did you mean 'stem'|stem"),
        (lambda n, x: grad_cam(n, x, 0, "head"), "without positions"),
        (lambda n, x: occlusion(n, x, 0, window=0), "1 or more"),
        (lambda n, x: integrated_gradients(n, x, 0, steps=0), "1 or more"),
    ],
)
def test_what_is_not_there_is_said(
    ask: Callable[[nn.Module, Tensor], Tensor], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(small(), torch.randn(2, 3, 12, 10))


@pytest.mark.parametrize("method", [guided_backpropagation, deconvnet])
def test_a_network_without_a_rectifier_is_refused(method: Any) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    with pytest.raises(ConfigError, match="no rectifier"):
        method(network, torch.randn(1, 2), 0)
