"""Features are what a layer gives, averaged over positions, image by image."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.feature import features, features_of_layers, head_name


def network(name: str = "resnet", **arguments: int) -> nn.Module:
    torch.manual_seed(2)
    return NETWORKS.build(Pick(name, **arguments), num_classes=3)


def images(num: int = 5, size: int = 12) -> Tensor:
    return torch.randn(num, 3, size, size, generator=torch.Generator().manual_seed(3))


def test_the_scores_follow_from_the_features_at_the_head() -> None:
    net, x = network(depth=8, width=4), images()
    found = features(net, x)
    assert found.shape == (5, 16)
    head = net.get_submodule("head")
    expected = copy.deepcopy(net).eval()(x)
    torch.testing.assert_close(found @ head.weight.T + head.bias, expected)  # type: ignore[operator, union-attr]


def test_a_head_that_is_a_convolution_has_its_inputs_averaged_over_positions() -> None:
    net = network("squeezenet")
    found = features(net, images(2, 64))
    x: Tensor = images(2, 64)
    for name, module in copy.deepcopy(net).eval().named_children():
        if name == "head":
            break
        x = module(x)
        if name == "conv1":
            x = x.relu()
    torch.testing.assert_close(found, x.sum((2, 3)) / (x.shape[2] * x.shape[3]))


def test_the_output_of_a_layer_is_averaged_before_anything_changes_it_in_place() -> None:
    conv = nn.Conv2d(3, 4, 1)
    net = nn.Sequential(conv, nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(3))
    x = images()
    net(x)
    means = torch.einsum("fc,bc->bf", conv.weight[:, :, 0, 0], x.mean((2, 3))) + conv.bias
    torch.testing.assert_close(features(net, x, "0"), means)
    both = features_of_layers(net, x, ["1", "0"])
    torch.testing.assert_close(both["0"], means)
    assert list(both) == ["1", "0"]
    assert bool((both["1"] >= means.clamp(min=0) - 1e-6).all())


def test_batches_of_any_size_give_the_same_and_are_asked_for_one_by_one() -> None:
    net, x = network(depth=8, width=4), images(40)
    whole = features(net, x)
    seen = []

    def batches() -> Iterator[Tensor]:
        for start, stop in ((0, 1), (1, 8), (8, 40)):
            seen.append(start)
            yield x[start:stop]

    torch.testing.assert_close(features(net, batches()), whole)
    assert seen == [0, 1, 8]
    torch.testing.assert_close(features(net, x[7:8]), whole[7:8])


def test_of_a_layer_that_runs_twice_the_last_call_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add = nn.Linear(2, 2)
            self.add.weight = nn.Parameter(torch.eye(2))
            self.add.bias = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.add(self.add(x))

    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert features(Twice(), [x, x[:1]], "add").tolist() == [[3, 4], [5, 6], [3, 4]]
    assert features(Twice(), [x, x[:1]]).tolist() == [[2, 3], [4, 5], [2, 3]]


def test_features_are_single_precision_whatever_the_network_computes_in() -> None:
    net = network(depth=8, width=4).bfloat16()
    assert features(net, images().bfloat16()).dtype == torch.float32


def test_without_a_head_the_last_module_with_parameters_counts() -> None:
    weight_norm = parametrizations.weight_norm(nn.Linear(4, 2, bias=False))
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), weight_norm, nn.Softmax(1))
    assert head_name(net) == "2"
    x = torch.randn(3, 3)
    torch.testing.assert_close(features(net, x), F.relu(net[0](x)).detach())
    assert head_name(network("googlenet", batch_norm=True)) == "head"


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x).flatten()[None]


@pytest.mark.parametrize(
    ("net", "layer", "message"),
    [
        (nn.Sequential(nn.ReLU()), None, "no layer with parameters"),
        (Unused(), None, "'unused' does not run"),
        (Unused(), "unused", "'unused' does not run"),
        (Unused(), "frist", "did you mean 'first'|first"),
        (Unused(), "", "for a batch of 3"),
    ],
)
def test_what_gives_no_features_is_said(net: nn.Module, layer: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        features(net, torch.randn(3, 2), layer)


@pytest.mark.parametrize("none", [[], torch.zeros(0, 2)])
def test_no_images_are_refused(none: list[Tensor] | Tensor) -> None:
    with pytest.raises(ConfigError, match="no images"):
        features(nn.Linear(2, 2), none)
