import math

import pytest
import torch
from PIL import Image
from torch import nn

from striate.errors import ConfigError, DataError
from striate.optim import OPTIMISERS
from striate.optim.range_test import draw_range_test, range_test


def problem():
    chance = torch.Generator().manual_seed(11)
    network = nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))
    for parameter in network.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=chance)
    inputs = torch.randn(90, 6, generator=chance)
    targets = inputs[:, :3].argmax(1)
    batches = list(zip(inputs.split(30), targets.split(30), strict=True))
    return network, batches


def test_network_is_exactly_as_it_was():
    network, batches = problem()
    network.eval()
    network[0].weight.grad = torch.full((9, 6), 7.0)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    test = range_test(network, nn.functional.cross_entropy, batches, num_steps=30)
    assert not network.training
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert torch.equal(network[0].weight.grad, torch.full((9, 6), 7.0))
    assert network[3].weight.grad is None
    again = range_test(network, nn.functional.cross_entropy, batches, num_steps=30)
    assert test == again


def test_network_is_as_it_was_after_an_error_too():
    network, batches = problem()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    with pytest.raises(DataError, match="batches ran out"):
        range_test(network, nn.functional.cross_entropy, iter(batches), num_steps=30)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_suggested_rate_trains_and_the_ends_do_not():
    network, batches = problem()
    test = range_test(network, nn.functional.cross_entropy, batches)
    assert test.suggested < test.highest

    def final_loss(rate):
        fresh, _ = problem()
        optimiser = OPTIMISERS["sgd"](fresh.parameters(), lr=rate)
        for inputs, targets in batches * 10:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(fresh(inputs), targets)
            loss.backward()
            optimiser.step()
        return loss.item() if math.isfinite(loss.item()) else math.inf

    assert final_loss(test.suggested) < 0.5 * final_loss(test.rates[0])
    assert final_loss(test.suggested) < final_loss(10.0)


def test_rates_are_in_equal_ratios_and_it_ends_when_training_comes_apart():
    """On ½x² plain descent with rate above 2 grows: the loss is known at each step."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    test = range_test(
        network,
        lambda scores, _: 0.5 * scores.square().mean(),
        [(torch.ones(4, 1), torch.zeros(4))],
        optimiser=OPTIMISERS["gradient_descent"],
        lowest=1e-3,
        highest=1e3,
        num_steps=60,
        smoothing=0.0,
    )
    ratios = [b / a for a, b in zip(test.rates[:-1], test.rates[1:], strict=True)]
    assert ratios == pytest.approx([10 ** (6 / 59)] * len(ratios))
    x, expected = 1.0, []
    for rate in test.rates:
        expected.append(0.5 * x * x)
        x -= rate * x
    assert test.losses == pytest.approx(expected, rel=1e-4, abs=1e-12)
    assert len(test.rates) < 60
    assert 0.5 < test.highest < 4


def test_smoothing_is_a_mean_around_each_step():
    network, batches = problem()
    test = range_test(network, nn.functional.cross_entropy, batches, num_steps=12, smoothing=2.0)
    steps = torch.arange(12.0, dtype=torch.float64)
    bell = torch.exp(-((steps[:, None] - steps) ** 2) / 8)
    expected = (bell @ torch.tensor(test.losses).double()) / bell.sum(1)
    assert test.smoothed == pytest.approx(expected.tolist())
    assert test.smoothed != pytest.approx(test.losses)
    assert test.suggested <= test.highest / 3


def test_auxiliary_heads_count_with_their_weight():
    class Two(nn.Module):
        auxiliary_weight = 0.3

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x):
            scores = self.layer(x)
            return (scores, scores, scores) if self.training else scores

    _, batches = problem()
    network = Two()
    test = range_test(network, nn.functional.cross_entropy, batches, num_steps=10)
    plain = nn.functional.cross_entropy(network.layer(batches[0][0]), batches[0][1]).item()
    assert test.losses[0] == pytest.approx(1.6 * plain, rel=1e-5)


def test_mistakes_are_told():
    network, batches = problem()
    with pytest.raises(ConfigError, match="0 < lowest < highest"):
        range_test(network, nn.functional.cross_entropy, batches, lowest=1.0, highest=0.1)
    with pytest.raises(DataError, match="at least one"):
        range_test(network, nn.functional.cross_entropy, [])
    with pytest.raises(ConfigError, match="left the finite numbers within 1 steps"):
        range_test(network, lambda s, t: s.sum() * torch.inf, batches)


def test_picture(tmp_path):
    network, batches = problem()
    test = range_test(network, nn.functional.cross_entropy, batches, num_steps=20)
    draw_range_test(test, tmp_path / "range.png")
    with Image.open(tmp_path / "range.png") as image:
        assert image.size[0] > 600
