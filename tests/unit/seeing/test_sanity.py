"""Maps that rest on the weights change with them; an edge detector's do not, and fail."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from striate import seeing
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing import sanity


def network() -> nn.Module:
    torch.manual_seed(5)
    net = NETWORKS.build(Pick("resnet", depth=8, width=8), num_classes=5)
    net(torch.randn(16, 3, 24, 24))
    return net


def pictures(count: int = 12) -> Tensor:
    """Squares at random positions on noise."""
    draw = torch.Generator().manual_seed(6)
    images = 0.3 * torch.randn(count, 3, 24, 24, generator=draw)
    for image in images:
        row, column = torch.randint(0, 16, (2,), generator=draw).tolist()
        image[:, row : row + 8, column : column + 8] += 2
    return images


def test_ranks_are_those_of_scipy_with_ties() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 6, (4, 50)), draw.integers(0, 9, (4, 50))
    found = sanity.rank_correlation(*(torch.from_numpy(x).double() for x in (one, other)))
    expected = [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(found, expected)
    constant = sanity.rank_correlation(torch.ones(1, 4), torch.arange(4.0)[None])
    assert constant.isnan().all()


def test_layers_become_random_from_the_output_down_and_stay_finite() -> None:
    net, images = network(), pictures(3)
    seen: list[dict[str, Tensor]] = []

    def explain(net: nn.Module) -> Tensor:
        seen.append({k: v.clone() for k, v in net.state_dict().items() if v.is_floating_point()})
        with torch.no_grad():
            assert net(images).isfinite().all()
        return seeing.gradient(net, images, 0)

    steps = sanity.cascade(net, explain)
    assert steps[0].layer == "head"
    assert len(seen) == len(steps) + 1
    first, last = seen[0], seen[-1]
    assert set(first) == set(last)
    for key, tensor in first.items():
        assert torch.equal(tensor.flatten().sort().values, last[key].flatten().sort().values), key
    for key in ("stem.0.weight", "head.weight", "stem.1.running_mean", "stem.1.running_var"):
        assert not torch.equal(first[key], last[key]), key
    before_last = seen[-2]
    assert torch.equal(first["stem.0.weight"], before_last["stem.0.weight"])


def test_a_map_that_ignores_the_weights_fails_and_the_gradient_passes() -> None:
    net, images = network(), pictures()
    edges = sanity.verdict(sanity.cascade(net, lambda _: images.diff(dim=3)))
    assert (edges.mean, edges.passes) == (pytest.approx(1), False)
    assert "it fails" in edges.sentence()
    assert (edges.low, edges.high) == pytest.approx((1, 1))
    found = sanity.verdict(sanity.cascade(net, lambda n: seeing.gradient(n, images, 1)))
    assert found.passes
    assert sanity.check(net, lambda n: seeing.gradient(n, images, 1)) == found
    assert found.low < found.mean < found.high
    assert "shows what was learned" in found.sentence()


def test_the_same_seed_gives_the_same_steps_and_the_network_stays() -> None:
    net, images = network(), pictures(2)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    one, other, another = (
        sanity.cascade(net, lambda n: seeing.gradient(n, images, 1), seed=seed)
        for seed in (0, 0, 1)
    )
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.correlations, b.correlations)
    assert not torch.equal(one[-1].correlations, another[-1].correlations)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_weights_that_are_used_twice_stay_the_same_ones() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    tied: list[bool] = []

    def explain(n: nn.Module) -> Tensor:
        tied.append(n[2].weight is n[0].weight)  # type: ignore[index]
        return seeing.gradient(n, torch.randn(2, 4), 0)

    sanity.cascade(net, explain)
    assert tied[-1]
