"""Landscapes of losses that are known in closed form, and what must not change them."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.landscape import filter_normalised, landscape


def cross_entropy(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    images, labels = batch
    return functional.cross_entropy(network(images), labels, reduction="none")


def batches(shape: tuple[int, ...], sizes: tuple[int, ...] = (5, 3)) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [
        (torch.randn(n, *shape, generator=draw), torch.randint(0, 3, (n,), generator=draw))
        for n in sizes
    ]


def test_a_quadratic_loss_is_a_known_bowl() -> None:
    network = nn.Linear(3, 2)
    x, y = torch.randn(20, 3), torch.randn(20, 2)

    def loss(net: nn.Module, batch: Any) -> Tensor:
        return (net(batch[0]) - batch[1]).square().mean()

    seen = landscape(network, loss, [(x, y)], radius=2.0, num_points=5, seed=3)
    assert seen.positions.tolist() == [-2, -1, 0, 1, 2]
    first, second = (filter_normalised(network, 3, n)["weight"] for n in ("first", "second"))
    rest = (network(x) - y).detach().double()  # residual r + a u + b v
    u, v = (x @ first.T).double(), (x @ second.T).double()
    for row, b in enumerate((2, 1, 0, -1, -2)):
        for column, a in enumerate((-2, -1, 0, 1, 2)):
            terms = [rest * rest, a * a * u * u, b * b * v * v, 2 * a * rest * u, 2 * b * rest * v]
            expected = float(sum(terms, 2 * a * b * u * v).mean())
            assert float(seen.losses[row, column]) == pytest.approx(expected, rel=1e-5)


def test_every_filter_of_a_direction_is_as_long_as_the_networks() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 2, groups=2),
        nn.LayerNorm((6, 9, 9)), nn.Flatten(), nn.Linear(486, 5), nn.Linear(5, 3),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight[1] *= 100
        network[6].weight[2] = 0
    direction = filter_normalised(network, 0, "first")
    assert list(direction) == ["0.weight", "2.weight", "5.weight", "6.weight"]
    for index in (0, 5, 6):
        made, own = direction[f"{index}.weight"], network[index].weight
        torch.testing.assert_close(made.flatten(1).norm(dim=1), own.flatten(1).norm(dim=1))
    made, own = direction["2.weight"], network[2].weight
    for group in range(2):  # output channel 3 · group + j is made by [2 · group : 2 · group + 2, j]
        for j in range(3):
            rows = slice(2 * group, 2 * group + 2)
            torch.testing.assert_close(made[rows, j].norm(), own[rows, j].detach().norm())
    other = filter_normalised(network, 0, "second")
    cosine = functional.cosine_similarity(
        direction["5.weight"].flatten(), other["5.weight"].flatten(), dim=0
    )
    assert abs(float(cosine)) < 0.1  # 2,430 numbers: deviation 0.02
    assert torch.equal(filter_normalised(network, 0, "first")["5.weight"], direction["5.weight"])


def test_the_middle_is_the_loss_of_the_network_to_the_bit() -> None:
    torch.manual_seed(0)
    network = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3).train()
    network(torch.randn(8, 3, 12, 12))  # running statistics of its own
    with torch.no_grad():
        network.get_submodule("head").weight[0] = -0.0  # type: ignore[union-attr]
    data = batches((3, 12, 12))
    seen = landscape(network, cross_entropy, data, radius=0.5, num_points=3)
    own = copy.deepcopy(network).eval()
    with torch.no_grad():
        expected = torch.cat([cross_entropy(own, batch) for batch in data]).double().mean()
        by_batch = [float(cross_entropy(own, batch).mean()) for batch in data]
    assert seen.losses[1, 1] == expected
    assert len(set(seen.losses.flatten().tolist())) == 9
    # The mean is over items; a loss with one number for a batch counts each batch alike.
    assert float(expected) == pytest.approx((5 * by_batch[0] + 3 * by_batch[1]) / 8)
    means = landscape(network, lambda n, b: cross_entropy(n, b).mean(), data, num_points=3)
    assert float(means.losses[1, 1]) == pytest.approx(sum(by_batch) / 2)
    assert network.training
    # Adding nothing would make −0 to +0.
    seen = landscape(network, lambda n, _: n.head.weight.signbit().sum(), data[:1], num_points=3)
    assert seen.losses[1, 1] == network.get_submodule("head").weight.signbit().sum()  # type: ignore[union-attr, operator]


def test_rescaled_layers_leave_the_picture() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    rescaled, plain = copy.deepcopy(network), batches((6,))
    with torch.no_grad():
        rescaled[0].weight *= 10
        rescaled[0].bias *= 10
        rescaled[2].weight /= 10
    expected = landscape(network, cross_entropy, plain, num_points=5).losses
    found = landscape(rescaled, cross_entropy, plain, num_points=5).losses
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1


def test_one_rescaled_filter_before_a_normalisation_leaves_the_picture() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-12), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    network(torch.randn(8, 3, 6, 6))
    rescaled, data = copy.deepcopy(network), batches((3, 6, 6))
    with torch.no_grad():
        rescaled[0].weight[2] *= 7
        rescaled[1].running_mean[2] *= 7  # type: ignore[index]
        rescaled[1].running_var[2] *= 49  # type: ignore[index]
    expected = landscape(network, cross_entropy, data, num_points=3).losses
    found = landscape(rescaled, cross_entropy, data, num_points=3).losses
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_loss_sees_the_moved_weights_however_it_reads_them() -> None:
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    network[1].weight = network[0].weight
    first = filter_normalised(network, 0, "first")["0.weight"]
    seen = landscape(network, lambda n, _: n[1].weight[0, 0], [None], num_points=3)
    expected = (network[0].weight + first)[0, 0].detach()
    assert float(seen.losses[1, 2]) == pytest.approx(float(expected), abs=1e-6)
    recurrent = nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    seen = landscape(recurrent, lambda n, b: n(b)[0].square().mean(), [x], num_points=3)
    moved = copy.deepcopy(recurrent)
    for name, direction in filter_normalised(recurrent, 0, "first").items():
        moved.get_parameter(name).data += direction
    assert float(seen.losses[1, 2]) == pytest.approx(
        float(moved(x)[0].square().mean().detach()), rel=1e-4
    )


def test_what_has_no_middle_is_refused() -> None:
    network = nn.Linear(2, 3)
    for wrong, words in (
        ({"num_points": 4}, "odd"), ({"num_points": 1}, "odd"), ({"radius": 0.0}, "above 0")
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            landscape(network, cross_entropy, batches((2,)), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no batch"):
        landscape(network, cross_entropy, [])
