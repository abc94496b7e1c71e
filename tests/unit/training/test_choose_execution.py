"""Steps and epochs give the same bits whatever was measured before; the clock measures."""

import pytest
import torch

from striate import kernels
from striate.execution import Execution, Trial, chooser, guess
from striate.execution.timing import Timing
from striate.networks import NETWORKS
from striate.training import assemble
from striate.training.interrupt import Interrupt
from tests.tiny_training import tiny_config, tiny_training


@pytest.fixture
def configured(tmp_path):
    def made(**lengths):
        return tiny_config(tmp_path, **{"steps": None, **lengths})

    return made


def network(config):
    return NETWORKS.build(config.network, num_classes=3, in_channels=3)


@pytest.mark.parametrize(
    "lengths", [{"steps": 12}, {"epochs": 2.0}, {"epochs": 2.0, "minutes": 10.0}], ids=str
)
def test_steps_are_not_measured(configured, lengths, monkeypatch):
    monkeypatch.setattr(assemble, "choose", None)
    chosen = configured(**lengths)
    built = network(chosen)
    found = assemble.choose_execution(chosen, built, 58)
    assert found == guess(built, (8, 3, 8, 8), chosen.execution)
    assert found.origin == "guessed"


@pytest.mark.parametrize("lengths", [{"minutes": 2.0}, {"epochs": 1e9, "minutes": 2.0}], ids=str)
def test_the_clock_is_worth_a_trial(configured, lengths, monkeypatch):
    asked = []

    def choose(network, shape, execution, *, seconds, training_seconds):
        asked.append((seconds, training_seconds))
        return Trial(Execution.of(execution), shape)

    monkeypatch.setattr(assemble, "choose", choose)
    chosen = configured(**lengths)
    assemble.choose_execution(chosen, network(chosen), 58)
    assert asked == [(3.0, 120.0)]


@pytest.mark.skipif(not kernels.available(), reason="there are no native kernels")
def test_what_is_remembered_does_not_change_the_weights_of_so_many_steps(tmp_path, monkeypatch):
    config = tiny_config(tmp_path, steps=6)

    def trained(folder):
        (tmp_path / folder).mkdir()
        training = tiny_training(tmp_path / folder, config=config)
        training.run(Interrupt())
        return training

    before = trained("before")
    assert not before.parts.execution.is_plain

    def race(entrants, *_, **__):  # torch wins everywhere
        return {name: Timing.of([1.0 if name == "torch" else 9.0]) for name in entrants}

    monkeypatch.setattr(chooser, "race", race)
    monkeypatch.setattr("striate.execution.convolution.race", race)
    built, shape = network(config), (8, 3, 8, 8)
    assert chooser.choose(built, shape, config.execution, seconds=5.0).execution.is_plain
    remembered = chooser.choose(built, shape, config.execution, seconds=0.0).execution
    assert remembered.origin == "remembered"
    after = trained("after")
    for a, b in zip(before.parts.whole.parameters(), after.parts.whole.parameters(), strict=True):
        assert torch.equal(a, b)
