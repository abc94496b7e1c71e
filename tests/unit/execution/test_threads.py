"""Several threads accelerate, record graphs and train at once, and none disturbs another."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch
from torch import nn

from striate.calculus.graph import graph
from striate.config import ExecutionConfig
from striate.execution import accelerated, guess
from striate.registry import Pick
from striate.training.interrupt import Interrupt
from tests.tiny_training import tiny_training
from tests.unit.execution import whole

ROUNDS = 40


def at_once(*tasks):
    """The results of functions that run at once, each on a thread of its own."""
    start = Barrier(len(tasks))

    def run(task):
        start.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def test_plain_modules_and_one_shared_network_answer_while_others_are_accelerated():
    images = torch.randn(whole.SHAPE).contiguous(memory_format=torch.channels_last)
    plain, shared = whole.network().eval(), whole.network().eval()
    choice = guess(shared, tuple(images.shape), ExecutionConfig(device="cpu", kernels=True))
    expected = plain(images)

    def of_plain():
        return [torch.equal(plain(images), expected) for _ in range(ROUNDS)]

    def of_shared():
        results = []
        for _ in range(ROUNDS):
            with torch.no_grad(), accelerated(shared, choice) as network:
                results.append(torch.allclose(network(images), expected, rtol=1e-3, atol=1e-4))
        return results

    def of_own():
        for _ in range(ROUNDS // 4):
            own = copy.deepcopy(plain)
            with accelerated(own, choice):
                own(images[:4]).sum().backward()
            graph(own, images[:1])
        return [True]

    found = at_once(of_plain, of_shared, of_shared, of_own, of_own)
    assert all(map(all, found))
    assert [type(m) for m in shared.modules()] == [type(m) for m in plain.modules()]


def test_a_graph_shows_the_modules_of_its_own_thread():
    network = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 2))
    x = torch.ones(2, 3)
    alone = str(graph(network, x, depth=1))

    def record():
        return {str(graph(network, x, depth=1)) for _ in range(ROUNDS)}

    def call():
        other = copy.deepcopy(network)
        return {tuple(other(x).shape) for _ in range(20 * ROUNDS)}

    recorded, called = at_once(record, call)
    assert recorded == {alone}
    assert called == {(2, 2)}


@pytest.mark.parametrize("network", [Pick("simplenet", dropout=0.5)], ids=str)
def test_trainings_on_two_threads_end_on_the_bits_of_one(network, tmp_path):
    """Dropout draws from a generator that all threads share."""

    def train(folder: Path, seed: int):
        folder.mkdir()
        training = tiny_training(folder, network=network, seed=seed, steps=8)
        training.run(Interrupt())
        return [p.detach().clone() for p in training.parts.whole.parameters()]

    alone = [train(tmp_path / f"alone {seed}", seed) for seed in (0, 1)]
    together = at_once(
        *[lambda seed=seed: train(tmp_path / f"together {seed}", seed) for seed in (0, 1)]
    )
    for expected, found in zip(alone, together, strict=True):
        assert all(map(torch.equal, expected, found))
    assert not torch.equal(alone[0][0], alone[1][0])
