"""The first layers' filters: which layers those are, and an order of what is alike."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.filters import first_filters, similar_next


class Parallel(nn.Module):
    """Two convolutions read the image, one after padding and normalising; others do not."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 2, 3)
        self.late = nn.Conv2d(3, 3, 3)
        self.padded = nn.Sequential(nn.ZeroPad2d(1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3))
        self.plain = parametrizations.weight_norm(nn.Conv2d(3, 3, 5, padding=2))
        self.with_image = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.padded(x * 2 + 1) + self.plain(x), inplace=True)
        result: Tensor = self.with_image(torch.cat([x, y], 1)).sum() + self.late(y)
        return result


def test_those_that_read_the_image_are_found_by_running() -> None:
    torch.manual_seed(0)
    network = Parallel().train()
    found = first_filters(network, torch.zeros(2, 3, 8, 9))
    assert list(found) == ["padded.2", "plain"]
    assert torch.equal(found["plain"].weights, network.plain.weight)
    assert found["plain"].scale == float(network.plain.weight.detach().abs().max())
    assert found["plain"].weights.data_ptr() != network.plain.weight.data_ptr()
    assert network.training
    assert not any(m._forward_hooks for m in network.modules())


@pytest.mark.parametrize(
    ("name", "channels", "size", "expected"),
    [
        ("resnet", 3, 32, {"stem": (4, 3, 3, 3)}),
        ("lenet5", 1, 28, {"features": (6, 1, 5, 5)}),
        ("efficientnet", 3, 64, {"stem": (32, 3, 3, 3)}),
    ],
)
def test_networks_of_striate(
    name: str, channels: int, size: int, expected: dict[str, tuple[int, ...]]
) -> None:
    arguments = {"depth": 8, "width": 4} if name == "resnet" else {}
    network = NETWORKS.build(
        Pick(name, **arguments), num_classes=3, in_channels=channels, input_size=(size, size)
    )
    found = first_filters(network, torch.randn(1, channels, size, size))
    assert {name.split(".")[0]: tuple(f.weights.shape) for name, f in found.items()} == expected


def test_filters_of_a_perceptron_are_as_large_as_the_image() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 24))
    (found,) = first_filters(network, torch.randn(3, 2, 3, 4)).values()
    assert torch.equal(found.weights, network[1].weight.view(5, 2, 3, 4))  # type: ignore[operator]


def test_filters_of_one_channel_each() -> None:
    (found,) = first_filters(nn.Conv2d(3, 6, 3, groups=3), torch.zeros(1, 3, 5, 5)).values()
    assert found.weights.shape == (6, 1, 3, 3)


def test_a_network_without_filters_of_pixels_is_refused() -> None:
    network = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 2, 3))
    with pytest.raises(ConfigError, match=r"No convolution of Sequential reads the image"):
        first_filters(network, torch.zeros(1, 1, 8, 8))


def wave(angle: float, phase: float, colour: tuple[float, ...]) -> Tensor:
    """Two periods across eight pixels; whole periods, so that a shift is a change of phase."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    along = columns if angle == 0 else rows if angle == 90 else rows + columns
    plane = torch.cos(2 * torch.pi * 2 * along / 8 + phase)
    return torch.tensor(colour)[:, None, None] * plane


def test_one_orientation_and_pair_of_colours_stand_together_whatever_their_phase() -> None:
    grey, opponent = (1.0, 1.0, 1.0), (1.0, -1.0, 0.0)
    kinds = [(0, grey), (90, grey), (45, grey), (0, opponent), (90, opponent)]
    groups, filters = [], []
    for phase in (0.0, 1.1, 2.3, 3.9):
        for group, (angle, colour) in enumerate(kinds):
            groups.append(group)
            filters.append(wave(angle, phase, colour) * (1 + 0.01 * len(filters)))
    generator = torch.Generator().manual_seed(0)
    shuffle = torch.randperm(len(groups), generator=generator)
    noise = 0.05 * torch.randn(len(groups), 3, 8, 8, generator=generator)
    stacked = (torch.stack(filters) + noise)[shuffle]
    order = similar_next(stacked)
    assert sorted(order.tolist()) == list(range(len(groups)))
    chain = [groups[shuffle[i]] for i in order]
    changes = sum(a != b for a, b in pairwise(chain))
    assert changes == len(kinds) - 1
    assert order[0] == stacked.flatten(1).norm(dim=1).argmax()
    assert torch.equal(order, similar_next(stacked))


def test_filters_that_are_zero_come_last_and_one_alone_is_in_order() -> None:
    filters = torch.zeros(3, 1, 2, 2)
    filters[1:, 0, 0] = 1
    assert similar_next(filters).tolist() == [1, 2, 0]
    assert similar_next(torch.ones(1, 1, 1, 1)).tolist() == [0]
