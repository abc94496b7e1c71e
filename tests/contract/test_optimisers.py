"""What holds for every registered optimiser and every registered schedule."""

import io
import itertools
import math

import pytest
import torch
from torch import nn

from striate.errors import ConfigError
from striate.optim import OPTIMISERS, SCHEDULES, Average, evaluation_weights, parameter_groups
from striate.registry import Pick

RATES = {"adadelta": 3.0, "adagrad": 0.1, "schedule_free_sgd": 0.3, "gradient_descent": 0.1}
"""Rates for the small problems here; 0.02 for the others."""


def build(name, params, **options):
    return OPTIMISERS.build(Pick(name, **{"lr": RATES.get(name, 0.02), **options}), params)


def small_network():
    chance = torch.Generator().manual_seed(4)
    network = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4 * 3, 3)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=chance) * 0.3)
    return network


def batches():
    chance = torch.Generator().manual_seed(8)
    while True:
        images = torch.randn(7, 2, 6, 5, generator=chance)
        yield images, images[:, 0].flatten(1)[:, :3].argmax(1)


def train(network, optimiser, num_steps, stream):
    losses = []
    for _ in range(num_steps):
        images, target = next(stream)
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(network(images), target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", OPTIMISERS)
def test_lowers_a_convex_quadratic(name):
    curvature = torch.tensor([[0.5, 3.0, 1.2], [0.2, 0.9, 2.2]])
    point = torch.tensor([[1.5, -0.7, 0.9], [-1.1, 2.0, 0.3]], requires_grad=True)

    def value():
        return (curvature * point**2).sum()

    before = value().item()
    optimiser = build(name, [point])
    for _ in range(200):
        optimiser.zero_grad()
        value().backward()
        optimiser.step()
    with evaluation_weights(optimiser):
        assert value().item() < 0.5 * before


@pytest.mark.parametrize("name", OPTIMISERS)
def test_lowers_a_small_networks_loss(name):
    network = small_network()
    images, target = next(batches())
    with torch.no_grad():
        before = nn.functional.cross_entropy(network(images), target).item()
    optimiser = build(name, parameter_groups(network))

    def same():
        while True:
            yield images, target

    train(network, optimiser, 40, same())
    with evaluation_weights(optimiser), torch.no_grad():
        assert nn.functional.cross_entropy(network(images), target).item() < 0.7 * before


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", OPTIMISERS)
def test_goes_on_bit_for_bit_from_its_state(name, memory_format):
    """The state goes through contiguous copies, as a file would give it back."""
    network = small_network().to(memory_format=memory_format)
    optimiser = build(name, parameter_groups(network))
    train(network, optimiser, 5, batches())
    stream = io.BytesIO()
    saved = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(_contiguous(saved), stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=True)

    again = small_network().to(memory_format=memory_format)
    again.load_state_dict(loaded["network"])
    other = build(name, parameter_groups(again))
    other.load_state_dict(loaded["optimiser"])
    first, second = batches(), batches()
    expected = train(network, optimiser, 6, first)
    assert train(again, other, 6, second) == expected
    for one, two in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def _contiguous(value):
    if isinstance(value, torch.Tensor):
        return value.contiguous().clone()
    if isinstance(value, dict):
        return {key: _contiguous(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_contiguous(item) for item in value)
    return value


@pytest.mark.parametrize("name", OPTIMISERS)
def test_layout_of_a_gradient_changes_nothing(name):
    """A gradient in another memory order than its parameter gives the same step."""
    kernel = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(1))
    gradient = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(2))
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        parameter = kernel.clone().requires_grad_()
        optimiser = build(name, [parameter, torch.zeros(2, 2, requires_grad=True)])
        for _ in range(3):
            parameter.grad = gradient.clone(memory_format=memory_format)
            optimiser.step()
        results.append(parameter.detach().clone())
    assert torch.equal(*results)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_groups_keep_their_own_decay_and_rate(name):
    """With zero gradients only decay moves a weight: not in a group that says 0, nor at rate 0."""
    decayed, plain = (torch.full((3, 2), 2.0, requires_grad=True) for _ in range(2))
    groups = [
        {"params": [decayed], "weight_decay": 0.5},
        {"params": [plain], "weight_decay": 0.0},
    ]
    optimiser = build(name, groups, lr=0.01)
    for _ in range(3):
        decayed.grad, plain.grad = torch.zeros(3, 2), torch.zeros(3, 2)
        optimiser.step()
    with evaluation_weights(optimiser):
        assert torch.equal(plain, torch.full((3, 2), 2.0))
        assert bool((decayed < 2.0).all())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_groups_own_rate_stands_above_the_argument(name):
    slow, quick = (torch.full((3, 2), 2.0, requires_grad=True) for _ in range(2))
    optimiser = build(name, [{"params": [slow], "lr": 1e-5}, {"params": [quick], "lr": 1e-2}])
    assert {group["lr"] for group in optimiser.param_groups} == {1e-5, 1e-2}
    for _ in range(3):
        slow.grad, quick.grad = torch.ones(3, 2), torch.ones(3, 2)
        optimiser.step()
    assert bool(((2 - quick) > 50 * (2 - slow)).all())


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("lr", [-0.1, 0.0, math.nan, math.inf])
def test_a_bad_rate_is_told(name, lr):
    point = torch.zeros(2, requires_grad=True)
    with pytest.raises(ConfigError, match="learning rate lr="):
        build(name, [point], lr=lr)
    with pytest.raises(ConfigError, match="learning rate lr="):
        build(name, [{"params": [point], "lr": lr}])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_words_for_numbers_are_told_together(name):
    point = torch.zeros(2, requires_grad=True)
    with pytest.raises(ConfigError) as error:
        build(name, [{"params": [point], "lr": "high", "weight_decay": "some"}])
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("name", OPTIMISERS)
def test_bad_decay_and_no_parameters_are_told(name):
    with pytest.raises(ConfigError, match="weight_decay=-1"):
        build(name, [torch.zeros(2, requires_grad=True)], weight_decay=-1.0)
    with pytest.raises(ConfigError, match="no parameters"):
        build(name, [])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_parameters_without_gradient_stay(name):
    moved, still = (torch.full((2, 3), 1.5, requires_grad=True) for _ in range(2))
    optimiser = build(name, [moved, still, torch.zeros(3, requires_grad=True)])
    moved.grad = torch.ones(2, 3)
    optimiser.step()
    assert torch.equal(still, torch.full((2, 3), 1.5))
    assert not torch.equal(moved, still)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_looking_at_the_answer_changes_nothing(name):
    network = small_network()
    optimiser = build(name, parameter_groups(network))
    train(network, optimiser, 4, batches())
    before = [p.detach().clone() for p in network.parameters()]
    with evaluation_weights(optimiser):
        pass
    for parameter, own in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, own)
    train(network, optimiser, 1, batches())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_average_follows_any_optimiser(name):
    network = small_network()
    optimiser = build(name, parameter_groups(network))
    average = Average(network)
    for _ in range(3):
        train(network, optimiser, 1, batches())
        average.update(network, 0.5)
    with average.inside(network):
        assert torch.equal(network[0].weight, average.weights()["0.weight"])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_says_what_it_is_and_names_lr(name):
    assert OPTIMISERS.describe(name).endswith((".", "η g.", "v."))
    assert OPTIMISERS.parameters(name)["lr"].default > 0


ENDS = {
    "constant": 1.0,
    "step": 0.01,
    "inverse_sqrt": math.sqrt(0.1),
}
"""Last factors of the schedules that have no `end` to set."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_is_defined_finite_and_not_negative(name):
    schedule = SCHEDULES.bind(Pick(name), ("progress",))
    factors = [schedule(i / 1000) for i in range(1001)]
    assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1, abs=1e-3)
    assert isinstance(schedule(0.0), float)
    assert isinstance(schedule(1.0), float)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_ends_where_it_says(name):
    if "end" not in SCHEDULES.parameters(name):
        assert SCHEDULES[name](1.0) == pytest.approx(ENDS[name], abs=1e-12)
        return
    for end in (1e-3, 0.2, 0.5):
        assert SCHEDULES[name](1.0, end=end) == pytest.approx(end, abs=1e-12)


WARMING = [name for name in SCHEDULES if "warmup" in SCHEDULES.parameters(name)]


@pytest.mark.parametrize("name", WARMING)
def test_schedule_warms_up_on_a_line(name):
    schedule = SCHEDULES.bind(Pick(name, warmup=0.25), ("progress",))
    factors = [schedule(p) for p in (0.0, 0.05, 0.1, 0.15, 0.2)]
    assert factors[0] == pytest.approx(0.01)
    steps = [b - a for a, b in itertools.pairwise(factors)]
    assert steps == pytest.approx([0.2 * 0.99] * 4)
    assert schedule(0.25) == pytest.approx(1)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_progress_outside_is_refused(name, progress):
    with pytest.raises(ConfigError, match="progress="):
        SCHEDULES[name](progress)
