import pytest
import torch

from striate.optim import OPTIMISERS, evaluation_weights
from striate.registry import Pick

SWITCHED = ["schedule_free_sgd", "schedule_free_adamw", "asgd"]


def stepped(name, steps=7):
    point = torch.tensor([1.3, -0.4, 2.1], requires_grad=True)
    options = {"t0": 2} if name == "asgd" else {}
    optimiser = OPTIMISERS.build(Pick(name, lr=0.07, **options), [point])
    for _ in range(steps):
        point.grad = torch.sin(3 * point.detach()) + 0.1
        optimiser.step()
    return point, optimiser


@pytest.mark.parametrize("name", SWITCHED)
def test_inside_the_answer_afterwards_the_same_bits(name):
    point, optimiser = stepped(name)
    before = point.detach().clone()
    with evaluation_weights(optimiser):
        assert not torch.equal(point, before)
    assert torch.equal(point, before)


@pytest.mark.parametrize("name", SWITCHED)
def test_weights_come_back_after_an_error(name):
    point, optimiser = stepped(name)
    before = point.detach().clone()
    with pytest.raises(KeyError, match="inside"), evaluation_weights(optimiser):
        raise KeyError("inside")
    assert torch.equal(point, before)
    point.grad = torch.ones(3)
    optimiser.step()


@pytest.mark.parametrize("name", SWITCHED)
def test_looking_often_does_not_change_the_way(name):
    quiet, _ = stepped(name, 9)
    watched, optimiser = stepped(name, 4)
    for _ in range(5):
        with evaluation_weights(optimiser):
            pass
        watched.grad = torch.sin(3 * watched.detach()) + 0.1
        optimiser.step()
    assert torch.equal(quiet, watched)


def test_optimisers_without_the_pair_are_left_alone():
    point, optimiser = stepped("adamw")
    before = point.detach().clone()
    with evaluation_weights(optimiser):
        assert torch.equal(point, before)


@pytest.mark.parametrize("name", SWITCHED)
def test_switching_twice_is_switching_once(name):
    point, optimiser = stepped(name)
    before = point.detach().clone()
    optimiser.eval()
    mean = point.detach().clone()
    optimiser.eval()
    assert torch.equal(point, mean)
    optimiser.train()
    optimiser.train()
    assert torch.equal(point, before)


@pytest.mark.parametrize("name", SWITCHED)
def test_state_read_back_while_answering_is_what_training_goes_on_from(name):
    point, optimiser = stepped(name)
    saved = optimiser.state_dict()
    weights = point.detach().clone()
    optimiser.eval()
    optimiser.load_state_dict(saved)
    with torch.no_grad():
        point.copy_(weights)
    optimiser.train()
    assert torch.equal(point, weights)


def test_the_librarys_own_switch_loses_bits():
    """The broken twin: by arithmetic the weights do not come back."""
    from schedulefree import SGDScheduleFree

    point = torch.randn(500, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimiser = SGDScheduleFree([point], lr=0.07)
    optimiser.train()
    for _ in range(3):
        point.grad = torch.sin(3 * point.detach())
        optimiser.step()
    before = point.detach().clone()
    optimiser.eval()
    optimiser.train()
    assert not torch.equal(point, before)
