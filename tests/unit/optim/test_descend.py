import pytest
import torch

from striate.errors import ConfigError
from striate.optim import OPTIMISERS
from striate.optim.descend import descend
from striate.registry import Pick


def problem():
    chance = torch.Generator().manual_seed(7)
    inputs = torch.randn(13, 3, generator=chance, dtype=torch.float64)
    outputs = inputs @ torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    seen = []

    def loss(items):
        seen.append(items.tolist())
        return (inputs[items] @ weights - outputs[items]).square().mean()

    return weights, loss, seen


@pytest.mark.parametrize(("batch_size", "lr"), [(None, 0.2), (4, 0.05), (1, 0.02)])
def test_ends_where_the_gradient_is_small(batch_size, lr):
    weights, loss, _ = problem()

    def optimiser(params):
        return OPTIMISERS.build(Pick("gradient_descent", lr=lr), params)

    went = descend(
        [weights],
        loss,
        13,
        batch_size=batch_size,
        optimiser=optimiser,
        tolerance=1e-7,
        max_steps=5000,
    )
    assert went.stopped == "gradient"
    assert went.gradient_norm < 1e-7
    assert went.num_steps < 5000
    torch.testing.assert_close(weights.detach(), torch.tensor([0.5, -1.0, 2.0]).double())


def test_stops_at_the_last_step_even_within_an_epoch():
    weights, loss, seen = problem()
    went = descend([weights], loss, 13, batch_size=4, max_steps=6)
    assert (went.num_steps, went.num_epochs, went.stopped) == (6, 2, "steps")
    assert [len(items) for items in seen] == [13, 4, 4, 4, 1, 13, 4, 4, 13]
    assert len(went.losses) == 3


def test_each_epoch_has_each_item_once_in_a_new_order():
    weights, loss, seen = problem()
    descend([weights], loss, 13, batch_size=1, max_steps=26)
    first = [items[0] for items in seen[1:14]]
    second = [items[0] for items in seen[15:28]]
    assert sorted(first) == sorted(second) == list(range(13))
    assert first != second != list(range(13))


def test_batch_descent_is_the_rule():
    weights, loss, _ = problem()
    descend([weights], loss, 13, max_steps=3)
    by_hand, rule_loss, _ = problem()
    for _ in range(3):
        (gradient,) = torch.autograd.grad(rule_loss(torch.arange(13)), by_hand)
        by_hand.data -= 0.1 * gradient
    # The batch is in another order, so sums differ in the last bits.
    torch.testing.assert_close(weights, by_hand, rtol=1e-10, atol=1e-12)


def test_bad_numbers_are_told():
    weights, loss, _ = problem()
    with pytest.raises(ConfigError, match="batch_size=14"):
        descend([weights], loss, 13, batch_size=14)
